// Times and ages for the eye. Everything is UTC and says so.

import { UNKNOWN } from './decimal.ts'

/** '12:03:11' of an RFC 3339 time. */
export function clock(text: string | null | undefined): string {
  return text && text.length >= 19 ? text.slice(11, 19) : UNKNOWN
}

/** '2026-11-21' of an RFC 3339 time. */
export function day(text: string | null | undefined): string {
  return text && text.length >= 10 ? text.slice(0, 10) : UNKNOWN
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** '21 Nov 12:03': a bar's time in a table. */
export function moment(text: string | null | undefined): string {
  if (!text || text.length < 16) return UNKNOWN
  return `${text.slice(8, 10)} ${MONTHS[Number(text.slice(5, 7)) - 1] ?? '?'} ${text.slice(11, 16)}`
}

/** The whole instant for a tooltip. */
export function instant(text: string | null | undefined): string {
  return text ? `${text.replace('T', ' ').replace(/(\.\d+)?Z$/, '$1')} UTC` : 'not known'
}

/** How long ago in words that stay short: '0.4 s', '12 s', '3 min', '2 h 5 min', '4 d'. */
export function age(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return UNKNOWN
  const s = Math.max(0, seconds)
  if (s < 9.95) return `${s.toFixed(1)} s`
  if (s < 119.5) return `${Math.round(s)} s`
  if (s < 5400) return `${Math.round(s / 60)} min`
  if (s < 172_800) {
    const minutes = Math.round(s / 60)
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
  }
  return `${Math.round(s / 86_400)} d`
}

export function seconds(text: string): number {
  return Date.parse(text) / 1000
}
