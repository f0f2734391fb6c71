// Which of the names fit what was typed.

const normal = (text) => text.normalize("NFC").toLowerCase();

/** Options ({name, …}) that contain the text, those that start with it first, at most `limit`. */
export function complete(options, typed, limit = 8) {
  const text = normal(typed.trim());
  const rank = (option) => {
    const name = normal(option.name);
    if (name === text) return 0;
    if (name.startsWith(text)) return 1;
    if (name.split(/[\s_-]+/).some((word) => word.startsWith(text))) return 2;
    return name.includes(text) ? 3 : 4;
  };
  return options
    .map((option, place) => ({ option, place, rank: rank(option) }))
    .filter((item) => item.rank < 4)
    .sort((a, b) => a.rank - b.rank || a.place - b.place)
    .slice(0, limit)
    .map((item) => item.option);
}
