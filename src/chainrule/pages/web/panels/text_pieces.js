/** The text of tokens, when a character is spelled by several of them. */

/**
 * What each token shows. A character that several tokens spell is shown whole by the first of them, since a break
 * inside it would take it apart (a family of emoji, a letter and its accent). Tokens with nothing left show "".
 */
export function shownPieces(pieces) {
  const text = pieces.join("");
  const ends = endsOfCharacters(text);
  let at = 0; // of the text: where the token begins
  let from = 0; // where what is not yet shown begins
  let k = 0;
  return pieces.map((piece) => {
    const end = at + piece.length;
    at = end;
    if (end <= from) return "";
    while (ends[k] < end) k += 1;
    const shown = text.slice(from, ends[k]);
    from = ends[k];
    return shown;
  });
}

/** Where the characters of a text end, as people see them; each code unit where a browser cannot say. */
function endsOfCharacters(text) {
  if (!Intl.Segmenter) return Array.from(text, (_, i) => i + 1).concat(text.length);
  const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text);
  return Array.from(segments, ({ segment, index }) => index + segment.length);
}
