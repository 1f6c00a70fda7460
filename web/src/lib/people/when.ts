// Times of people's rows, and how long something is still good for.

import { age, moment } from '../format/time.ts'
import { UNKNOWN } from '../format/decimal.ts'

/** '12 min ago'; a dash for what never was. */
export function ago(text: string | null | undefined, nowMs: number): string {
  if (!text) return UNKNOWN
  const seconds = (nowMs - Date.parse(text)) / 1000
  return seconds < 10 ? 'now' : `${age(Math.round(seconds))} ago`
}

/** 'in 14 min', or 'over' when the moment has passed. */
export function left(text: string | null | undefined, nowMs: number): string {
  if (!text) return UNKNOWN
  const seconds = (Date.parse(text) - nowMs) / 1000
  return seconds <= 0 ? 'over' : `in ${age(Math.ceil(seconds))}`
}

/** '21 Nov 2026 12:03 UTC': a moment that may be far away. */
export function dated(text: string | null | undefined): string {
  return text ? `${moment(text).slice(0, 6)} ${text.slice(0, 4)} ${text.slice(11, 16)} UTC` : UNKNOWN
}
