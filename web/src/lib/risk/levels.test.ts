import { describe, expect, it } from 'vitest'
import type { LimitRow, RiskMeasure } from '../api/types.ts'
import { gauge, shown, wayOf } from './levels.ts'

const DRAWDOWN: RiskMeasure = {
  name: 'drawdown',
  words: 'below the highest equity',
  unit: 'frac',
  reversed: false,
  instrument: null,
  value: '0.04',
  stale: false,
  target: null,
  soft: '0.05',
  hard: '0.065',
  brake: [
    { value: '0.08', level: 'halted' },
    { value: '0.10', level: 'flattening' },
  ],
  state: 'ok',
  headroom: '0.01',
  headroom_to: 'soft',
  used: '0.6',
  readings: [],
}
const DISTANCE: RiskMeasure = { ...DRAWDOWN, name: 'liquidation_distance', reversed: true, value: '0.25', soft: '0.30', hard: '0.20', brake: [{ value: '0.15', level: 'flattening' }] }

describe('a gauge', () => {
  it('runs from nothing to a little beyond the last level', () => {
    const { at, marks } = gauge(DRAWDOWN)
    expect(marks.map(({ kind }) => kind)).toEqual(['soft', 'hard', 'brake', 'brake'])
    const places = marks.map((mark) => mark.at)
    expect([...places].sort((a, b) => a - b)).toEqual(places)
    expect(at).toBeCloseTo(0.04 / 0.11, 6)
    expect(places.at(-1)).toBeLessThan(1)
  })

  it('runs the other way for a distance: nearer to liquidation is further right', () => {
    const { at, marks } = gauge(DISTANCE)
    const places = Object.fromEntries(marks.map((mark) => [mark.kind, mark.at]))
    expect(places.soft).toBeLessThan(at ?? NaN)
    expect(at).toBeLessThan(places.hard ?? NaN)
    expect(places.hard).toBeLessThan(places.brake ?? NaN)
  })

  it('knows no place for a value that is not known, and none without levels', () => {
    expect(gauge({ ...DRAWDOWN, value: null }).at).toBeNull()
    expect(gauge({ ...DRAWDOWN, soft: null, hard: null, brake: [] })).toEqual({ at: null, marks: [] })
  })

  it('shows fractions in per cent and multiples as such, and what is unknown as unknown', () => {
    expect([shown(DRAWDOWN, '0.04'), shown({ unit: 'multiple' }, '1.5'), shown({ unit: 'multiple' }, null)]).toEqual(['4.00 %', '1.50 ×', '–'])
  })
})

describe('changing a limit', () => {
  const row = (tightens: LimitRow['tightens'], value = '0.05'): LimitRow => ({ name: 'x', value, unit: '', owner: 'risk', tightens, minimum: null, maximum: null, control: '' })

  it('is tighter or looser by the direction of the limit, exactly', () => {
    expect([wayOf(row('down'), '0.0499999999999999999'), wayOf(row('down'), '0.0500000000000000001')]).toEqual(['tighter', 'looser'])
    expect([wayOf(row('up'), '0.06'), wayOf(row('up'), '0.04')]).toEqual(['tighter', 'looser'])
  })

  it('is nothing where nothing or no number is given, and the same where it is', () => {
    expect([wayOf(row('down'), ''), wayOf(row('down'), 'abc'), wayOf(row('down'), ' 0.050 ')]).toEqual(['none', 'none', 'same'])
  })

  it('knows that 0 is an absent row: setting one is tighter, taking it away is looser', () => {
    expect([wayOf(row('down', '0'), '0.03'), wayOf(row('down'), '0'), wayOf(row('up', '0'), '0.1')]).toEqual(['tighter', 'looser', 'tighter'])
  })

  it('lets names be added to a list by one person, and taken off by two', () => {
    const list = row('more', 'DOGE, SOL')
    expect([wayOf(list, 'SOL, DOGE, XRP'), wayOf(list, 'SOL'), wayOf(list, 'DOGE,SOL'), wayOf(row('more', ''), 'BTC')]).toEqual(['tighter', 'looser', 'same', 'tighter'])
  })
})
