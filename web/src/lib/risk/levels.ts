// Measures against their levels, and edits of limits: which way is tighter.

import type { LimitRow, RiskMeasure } from '../api/types.ts'
import { compared, decimal, percent, plotted } from '../format/decimal.ts'

/** Seconds after which figures of risk are late, and stale. */
export const LATE_S = 60
export const STALE_S = 180

/** A value of a measure as its unit says. */
export function shown(measure: Pick<RiskMeasure, 'unit'>, value: string | null): string {
  return measure.unit === 'multiple' ? (value === null ? decimal(null) : `${decimal(value, { digits: 2 })} ×`) : percent(value)
}

export interface Mark {
  kind: 'target' | 'soft' | 'hard' | 'brake'
  value: string
  /** 0 to 1 along the gauge. */
  at: number
}

/** Where the value and each level stand on a gauge whose end lies a little beyond the last level. */
export function gauge(measure: RiskMeasure): { at: number | null; marks: Mark[] } {
  const levels: [Mark['kind'], string | null][] = [
    ['target', measure.target],
    ['soft', measure.soft],
    ['hard', measure.hard],
    ...measure.brake.map(({ value }): [Mark['kind'], string] => ['brake', value]),
  ]
  const known = levels.filter((one): one is [Mark['kind'], string] => one[1] !== null)
  const numbers = known.map(([, value]) => plotted(value) ?? 0)
  const value = plotted(measure.value)
  if (numbers.length === 0) return { at: null, marks: [] }
  const end = measure.reversed ? Math.max(...numbers) * 2 : Math.max(...numbers) * 1.1
  const place = (number: number): number => Math.min(1, Math.max(0, (measure.reversed ? end - number : number) / (end || 1)))
  return {
    at: value === null ? null : place(value),
    marks: known.map(([kind, text]) => ({ kind, value: text, at: place(plotted(text) ?? 0) })),
  }
}

export const STATE_WORDS: Record<RiskMeasure['state'], string> = {
  ok: '● within',
  soft: '▲ above soft',
  hard: '✕ hard limit',
  brake: '✕ brake',
  none: '○ nothing to measure',
  unknown: '– not known',
}

export type Way = 'tighter' | 'looser' | 'same' | 'none'

const names = (text: string): string[] => text.split(',').map((name) => name.trim()).filter(Boolean)

/** What changing a limit to `text` is: of a list, every name that is taken off lets more through; 0 that may go down is an absent row. */
export function wayOf(row: LimitRow, text: string): Way {
  const given = text.trim()
  if (given === '') return 'none'
  if (row.tightens === 'more') {
    const [before, after] = [names(row.value), names(given)]
    if (before.some((name) => !after.includes(name))) return 'looser'
    return after.length > before.length ? 'tighter' : 'same'
  }
  const order = compared(given, row.value || '0')
  if (order === null) return 'none'
  if (order === 0) return 'same'
  if (row.tightens === 'up') return order > 0 ? 'tighter' : 'looser'
  const [was, will] = [compared(row.value || '0', '0') === 0, compared(given, '0') === 0]
  if (was || will) return will ? 'looser' : 'tighter'
  return order < 0 ? 'tighter' : 'looser'
}
