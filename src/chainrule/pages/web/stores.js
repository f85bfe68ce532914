/** Values that panels share. */

/** A value with subscribers, who are called at once and after each change. */
export function store(initial) {
  let value = initial;
  const subscribers = new Set();
  return {
    get value() {
      return value;
    },
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      subscribers.forEach((call) => call(value));
    },
    /** Call the subscribers although the value is the same object. */
    renew() {
      subscribers.forEach((call) => call(value));
    },
    subscribe(call) {
      subscribers.add(call);
      call(value);
      return () => subscribers.delete(call);
    },
  };
}
