// Decimal text to display text, digit by digit: money never becomes a floating point number on its way to the eye.

export const MINUS = '\u2212'
export const UNKNOWN = '\u2013'

export interface DecimalOptions {
  /** Fraction digits to show; as given when absent. Rounds half away from zero. */
  digits?: number | undefined
  /** `always` puts + before what is above zero. */
  sign?: 'auto' | 'always' | undefined
  /** Shifts the decimal point to the right: 2 turns a fraction into per cent. */
  shift?: number | undefined
}

interface Parts {
  negative: boolean
  whole: string
  fraction: string
}

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/

function parse(text: string): Parts | null {
  const found = DECIMAL.exec(text.trim())
  if (found === null) return null
  return { negative: found[1] === '-', whole: found[2] ?? '0', fraction: found[3] ?? '' }
}

function shifted({ negative, whole, fraction }: Parts, places: number): Parts {
  const digits = fraction.padEnd(places, '0')
  return { negative, whole: whole + digits.slice(0, places), fraction: digits.slice(places) }
}

function rounded({ negative, whole, fraction }: Parts, digits: number): Parts {
  if (fraction.length <= digits) return { negative, whole, fraction: fraction.padEnd(digits, '0') }
  const up = (fraction[digits] ?? '0') >= '5' ? 1n : 0n
  const kept = (BigInt(whole + fraction.slice(0, digits)) + up).toString().padStart(digits + 1, '0')
  const point = kept.length - digits
  return { negative, whole: kept.slice(0, point), fraction: kept.slice(point) }
}

function grouped(whole: string): string {
  const bare = whole.replace(/^0+(?=\d)/, '')
  return bare.replace(/\B(?=(\d{3})+$)/g, ',')
}

/** -1, 0 or 1 of a decimal text; null of what is no decimal. */
export function signOf(text: string | null | undefined): -1 | 0 | 1 | null {
  const parts = text == null ? null : parse(text)
  if (parts === null) return null
  if (/^0*$/.test(parts.whole + parts.fraction)) return 0
  return parts.negative ? -1 : 1
}

/** Group thousands, round as asked, use a true minus; an en dash for what is unknown or no number. */
export function decimal(text: string | null | undefined, options: DecimalOptions = {}): string {
  const parsed = text == null ? null : parse(text)
  if (parsed === null) return UNKNOWN
  const moved = options.shift ? shifted(parsed, options.shift) : parsed
  const parts = options.digits === undefined ? moved : rounded(moved, options.digits)
  const zero = /^0*$/.test(parts.whole + parts.fraction)
  const sign = zero ? '' : parts.negative ? MINUS : options.sign === 'always' ? '+' : ''
  return sign + grouped(parts.whole) + (parts.fraction === '' ? '' : `.${parts.fraction}`)
}

/** A fraction as per cent: '0.0412' becomes '4.12 %'. */
export function percent(text: string | null | undefined, options: Omit<DecimalOptions, 'shift'> = {}): string {
  const shown = decimal(text, { digits: 2, ...options, shift: 2 })
  return shown === UNKNOWN ? UNKNOWN : `${shown} %`
}

/** -1, 0 or 1 as one decimal text is below, equal to or above another; null where one of them is none. */
export function compared(one: string, other: string): -1 | 0 | 1 | null {
  const [a, b] = [parse(one), parse(other)]
  if (a === null || b === null) return null
  const places = Math.max(a.fraction.length, b.fraction.length)
  const whole = ({ negative, whole, fraction }: Parts): bigint => BigInt(whole + fraction.padEnd(places, '0')) * (negative ? -1n : 1n)
  const [left, right] = [whole(a), whole(b)]
  return left === right ? 0 : left < right ? -1 : 1
}

/** A count with thousands separators. */
export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? UNKNOWN : decimal(String(Math.trunc(value)))
}

/** For positions on a chart only; never for a figure that is shown. */
export function plotted(text: string | null | undefined): number | null {
  const value = text == null || text === '' ? NaN : Number(text)
  return Number.isFinite(value) ? value : null
}
