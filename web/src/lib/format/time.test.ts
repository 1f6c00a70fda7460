import { describe, expect, it } from 'vitest'
import { UNKNOWN } from './decimal.ts'
import { age, clock, day, instant, moment, seconds } from './time.ts'

describe('times', () => {
  it('are shown in UTC as they were sent', () => {
    const at = '2026-11-21T12:03:11.250Z'
    expect([clock(at), day(at), moment(at)]).toEqual(['12:03:11', '2026-11-21', '21 Nov 12:03'])
    expect(instant(at)).toBe('2026-11-21 12:03:11.250 UTC')
    expect(seconds('1970-01-01T00:01:00Z')).toBe(60)
  })

  it('say that they are not known', () => {
    expect([clock(null), day(''), moment(undefined), age(null), age(NaN)]).toEqual(Array(5).fill(UNKNOWN))
    expect(instant(null)).toBe('not known')
  })
})

describe('ages', () => {
  it('stay short at every size', () => {
    const shown = [-3, 0.44, 9.94, 10, 119, 120, 5399, 5400, 90_000, 200_000].map(age)
    expect(shown).toEqual(['0.0 s', '0.4 s', '9.9 s', '10 s', '119 s', '2 min', '90 min', '1 h 30 min', '25 h 0 min', '2 d'])
  })
})
