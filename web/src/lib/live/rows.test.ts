import { describe, expect, it } from 'vitest'
import { merged, MOST_ROWS } from './rows.ts'

interface Item {
  seq: number
  id: string
  updated: number
}
const identity = { key: (row: Item) => row.id, version: (row: Item) => row.updated }
const item = (seq: number, updated = seq): Item => ({ seq, id: `r${seq}`, updated })

describe('a list with news above and the past below', () => {
  it('is newest first whichever way rows come, and holds each once', () => {
    const live = merged([], [item(5), item(6)], identity)
    const older = merged(live, [item(4), item(3), item(5)], identity)
    expect(merged(older, [item(7)], identity).map((row) => row.seq)).toEqual([7, 6, 5, 4, 3])
  })

  it('takes the newer version of a row and keeps it against an older one', () => {
    const list = merged([item(1, 1)], [item(1, 9)], identity)
    expect(merged(list, [item(1, 4)], identity)[0]?.updated).toBe(9)
  })

  it('is the same array when nothing is new, so that nothing is drawn again', () => {
    const list = merged([], [item(1), item(2)], identity)
    expect(merged(list, [item(2)], identity)).toBe(list)
    expect(merged(list, [], identity)).toBe(list)
  })

  it('lets the oldest go beyond the most it may hold', () => {
    const many = Array.from({ length: MOST_ROWS + 5 }, (_, seq) => item(seq))
    const list = merged([], many, identity)
    expect([list.length, list[0]?.seq]).toEqual([MOST_ROWS, MOST_ROWS + 4])
  })
})
