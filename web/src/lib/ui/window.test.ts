import { describe, expect, it } from 'vitest'
import { MAX_ROWS, rowWindow } from './window.ts'

describe('the window of a long list', () => {
  it('never holds more than the most rows, wherever one scrolls and however tall the view is', () => {
    for (const height of [0, 28, 400, 5_000, 100_000]) {
      for (let top = -100; top < 5_000 * 28 + 200; top += 997) {
        const { first, end, before, after } = rowWindow(5_000, top, height, 28)
        expect(end - first).toBeLessThanOrEqual(MAX_ROWS)
        expect(before + (end - first) * 28 + after).toBe(5_000 * 28)
      }
    }
  })

  it('covers what is in view', () => {
    const { first, end } = rowWindow(5_000, 28 * 1_000, 28 * 20, 28)
    expect(first).toBeLessThanOrEqual(1_000)
    expect(end).toBeGreaterThanOrEqual(1_021)
  })

  it('is the whole of a short list', () => {
    expect(rowWindow(3, 0, 400, 28)).toEqual({ first: 0, end: 3, before: 0, after: 0 })
    expect(rowWindow(0, 0, 400, 28)).toEqual({ first: 0, end: 0, before: 0, after: 0 })
  })

  it('holds the last row when scrolled past the end', () => {
    expect(rowWindow(5_000, 10_000_000, 400, 28).end).toBe(5_000)
  })
})
