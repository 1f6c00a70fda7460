// Lists that grow at both ends: news at the top, older pages below. Newest first, each row once.

export interface Row {
  seq: number
}

export const MOST_ROWS = 20_000

/** What tells a row from every other, and which of two versions of it is newer. */
export interface Identity<T extends Row> {
  key(row: T): string
  version(row: T): number
}

/**
 * Put rows into a list, newest first, each key once and in its newest version; the oldest fall off beyond `most` and a fifth more,
 * so that they do not fall one by one. A key always has the same seq.
 *
 * Returns the same array when nothing changed, so that nothing is drawn again. Costs what the new rows cost, not the list.
 */
export function merged<T extends Row>(list: T[], rows: readonly T[], identity: Identity<T>, most = MOST_ROWS): T[] {
  let base = list
  const fresh = new Map<string, T>()
  for (const row of rows) {
    const place = placeOf(list, row, identity)
    const key = identity.key(row)
    const known = place === -1 ? fresh.get(key) : base[place]
    if (known !== undefined && identity.version(row) <= identity.version(known)) continue
    if (place === -1) fresh.set(key, row)
    else {
      if (base === list) base = list.slice()
      base[place] = row
    }
  }
  if (fresh.size === 0) return base
  const result = joined(base, [...fresh.values()].sort((a, b) => b.seq - a.seq))
  return result.length > most * 1.2 ? result.slice(0, most) : result
}

/** The first place whose seq is not above this one. */
function placeFrom<T extends Row>(list: readonly T[], seq: number): number {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.seq > seq) low = middle + 1
    else high = middle
  }
  return low
}

function placeOf<T extends Row>(list: readonly T[], row: T, identity: Identity<T>): number {
  for (let place = placeFrom(list, row.seq); list[place]?.seq === row.seq; place += 1) {
    if (identity.key(list[place]!) === identity.key(row)) return place
  }
  return -1
}

/** Two lists, each newest first, as one. */
function joined<T extends Row>(list: T[], fresh: T[]): T[] {
  const [newest, oldest] = [fresh[0]!.seq, fresh[fresh.length - 1]!.seq]
  const [above, below] = [placeFrom(list, newest), placeFrom(list, oldest)]
  const between = above === below ? fresh : [...list.slice(above, below), ...fresh].sort((a, b) => b.seq - a.seq)
  return list.slice(0, above).concat(between, list.slice(below))
}
