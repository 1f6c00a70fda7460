import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BrakeStatus } from '../api/types.ts'
import { ARMED_MS, Hold, HOLD_MS } from './hold.ts'
import { ageOf, headline, nameOf, standingOf, worthEngaging } from './levels.ts'

describe('press and hold', () => {
  let fired = 0
  let seen: [number, boolean][] = []
  let hold: Hold

  beforeEach(() => {
    vi.useFakeTimers()
    fired = 0
    seen = []
    hold = new Hold(
      { now: () => Date.now(), every: (call, ms) => setInterval(call, ms), stop: (timer) => clearInterval(timer as number) },
      (part, armed) => seen.push([part, armed]),
      () => (fired += 1),
    )
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('fires once after a second and a half, and not before', () => {
    hold.press()
    vi.advanceTimersByTime(HOLD_MS - 100)
    expect(fired).toBe(0)
    expect(seen.at(-1)?.[0]).toBeGreaterThan(0.9)
    vi.advanceTimersByTime(5_000)
    expect(fired).toBe(1)
    expect(seen.at(-1)).toEqual([0, false])
  })

  it('does nothing when it is let go too early', () => {
    hold.press()
    vi.advanceTimersByTime(1_000)
    hold.letGo()
    vi.advanceTimersByTime(5_000)
    expect(fired).toBe(0)
  })

  it('fires at the second Enter, while the first arms for five seconds only', () => {
    hold.enter()
    expect(seen.at(-1)).toEqual([0, true])
    vi.advanceTimersByTime(ARMED_MS + 100)
    hold.enter()
    expect(fired).toBe(0)
    hold.enter()
    expect(fired).toBe(1)
    vi.advanceTimersByTime(10_000)
    expect(fired).toBe(1)
  })

  it('a pointer that passes over does not disarm what Enter armed, leaving does', () => {
    hold.enter()
    hold.letGo()
    hold.enter()
    expect(fired).toBe(1)
    hold.enter()
    hold.release()
    hold.enter()
    expect(fired).toBe(1)
  })
})

const STATUS = {
  guard: { state: 'fresh', age_s: 0.4, at: null, why: '' },
  level: 'running',
} as unknown as BrakeStatus
const told = (changes: Partial<BrakeStatus>): BrakeStatus => ({ ...STATUS, ...changes })

describe('the word of the guard', () => {
  it('ages while nobody speaks, until it is stale', () => {
    expect(ageOf(STATUS, 1)).toBeCloseTo(1.4)
    expect([standingOf(STATUS, 1), standingOf(STATUS, 3.5), standingOf(STATUS, 6)]).toEqual(['fresh', 'late', 'stale'])
    expect(standingOf(null, 0)).toBe('absent')
    expect(standingOf(told({ guard: { state: 'absent', age_s: null, at: null, why: 'none' } }), 0)).toBe('absent')
    expect(standingOf(told({ guard: { state: 'stale', age_s: 0, at: null, why: '' } }), 0)).toBe('stale')
  })

  it('is never shown as all well when it is old or nobody spoke', () => {
    expect(headline(STATUS, 'fresh')).toBe('brake off')
    expect(headline(STATUS, 'stale')).toBe('guard silent')
    expect(headline(told({ level: 'halted' }), 'stale')).toBe('halted, stale')
    expect(headline(told({ level: 'flattening' }), 'fresh')).toBe('flattening')
    expect(headline(STATUS, 'absent')).toBe('no guard')
    expect(headline(null, 'absent')).toBe('brake')
  })

  it('severity only rises', () => {
    expect([worthEngaging('reduce_only', 'running'), worthEngaging('reduce_only', 'halted'), worthEngaging('flattening', 'halted')]).toEqual([true, false, true])
    expect(worthEngaging('reduce_only', null)).toBe(true)
    expect([nameOf(null), nameOf('halted_flat')]).toEqual(['Unknown', 'Halted, flat'])
  })
})
