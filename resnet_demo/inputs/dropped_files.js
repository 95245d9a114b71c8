// All files that were dropped, those in folders too, by name; hidden ones are left out.
const entriesIn = (folder) => {
  const reader = folder.createReader();
  const more = () => new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred at a time
  return (async () => {
    const found = [];
    for (let part = await more(); part.length; part = await more()) found.push(...part);
    return found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  })();
};

async function filesIn(entry, most) {
  if (entry.name.startsWith('.') || most <= 0) return [];
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const found = [];
  for (const inside of await entriesIn(entry)) found.push(...(await filesIn(inside, most - found.length)));
  return found;
}

export async function droppedFiles({ items, files }, most) {
  // entries are there only while the event is handled, so all are asked for before the first is read
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...files];
  const found = [];
  for (const entry of entries) found.push(...(await filesIn(entry, most - found.length)));
  return found;
}
