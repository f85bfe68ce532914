/** Requests to the server of the page, and its key. */

const KEY = "chainrule-key";

/** The reply to a body as JSON. Throws an Error in the words of the server, or an AbortError. */
export function send(url, key, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return answer(url, key, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/** The same for any request. */
export async function answer(url, key, options) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const reply = await reach(url, { ...options, headers });
  const json = await reply.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (reply.ok && json) return json;
  if (reply.status === 401) throw new Error("The key is wrong or missing: write it in the form.");
  throw new Error(sentence(json?.error?.message ?? `the server replied ${reply.status}`));
}

async function reach(url, options) {
  try {
    return await fetch(url, { credentials: "omit", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is chainrule serve still running?");
  }
}

function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

/** The key that was typed before in this tab; "" if there is none. */
export function readKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/** Keep the key for this tab, until it is closed. */
export function keepKey(key) {
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // a browser without storage asks for the key again
  }
}
