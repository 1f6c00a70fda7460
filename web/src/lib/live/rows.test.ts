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

  it('lets the oldest go beyond the most it may hold, many at a time', () => {
    const many = Array.from({ length: MOST_ROWS * 1.2 + 1 }, (_, seq) => item(seq))
    const list = merged([], many, identity)
    expect([list.length, list[0]?.seq]).toEqual([MOST_ROWS, MOST_ROWS * 1.2])
    expect(merged(list, [item(90_000)], identity).length).toBe(MOST_ROWS + 1)
    expect(merged([], many.slice(0, 13), identity, 10).length).toBe(10)
  })

  it('is what a plain list by key is, whatever comes in which order', () => {
    let seed = 1
    const chance = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    let list: Item[] = []
    const plain = new Map<string, Item>()
    for (let turn = 0; turn < 400; turn += 1) {
      const rows = Array.from({ length: 1 + chance(6) }, () => {
        const seq = chance(120)
        return { seq, id: `r${seq}.${chance(2)}`, updated: chance(9) }
      })
      list = merged(list, rows, identity)
      for (const row of rows) if (row.updated > (plain.get(row.id)?.updated ?? -1)) plain.set(row.id, row)
    }
    expect(list.map(({ seq }) => seq)).toEqual([...plain.values()].map(({ seq }) => seq).sort((a, b) => b - a))
    expect(new Map(list.map((row) => [row.id, row]))).toEqual(new Map([...plain]))
  })
})
