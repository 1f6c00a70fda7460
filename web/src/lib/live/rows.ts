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
 * Put rows into a list, newest first, each key once and in its newest version; the oldest fall off beyond MOST_ROWS.
 *
 * Returns the same array when nothing changed, so that nothing is drawn again.
 */
export function merged<T extends Row>(list: T[], rows: readonly T[], identity: Identity<T>): T[] {
  if (rows.length === 0) return list
  const places = new Map(list.map((row, place) => [identity.key(row), place]))
  const result = list.slice()
  let changed = false
  for (const row of rows) {
    const place = places.get(identity.key(row))
    const known = place === undefined ? undefined : result[place]
    if (place === undefined || known === undefined) {
      places.set(identity.key(row), result.length)
      result.push(row)
      changed = true
    } else if (identity.version(row) > identity.version(known)) {
      result[place] = row
      changed = true
    }
  }
  if (!changed) return list
  result.sort((a, b) => b.seq - a.seq)
  return result.length > MOST_ROWS ? result.slice(0, MOST_ROWS) : result
}
