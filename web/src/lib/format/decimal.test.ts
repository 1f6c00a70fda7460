import { describe, expect, it } from 'vitest'
import { compared, count, decimal, MINUS, percent, plotted, signOf, UNKNOWN } from './decimal.ts'

describe('decimal text', () => {
  it('groups thousands and keeps every digit it was given', () => {
    expect(decimal('1234567.89012345')).toBe('1,234,567.89012345')
    expect(decimal('90071992547409931234.5')).toBe('90,071,992,547,409,931,234.5')
    expect(decimal('999')).toBe('999')
  })

  it('uses the true minus, and a plus when asked', () => {
    expect(decimal('-1234.5')).toBe(`${MINUS}1,234.5`)
    expect(decimal('0.4', { sign: 'always' })).toBe('+0.4')
  })

  it('shows zero as zero without a sign, even when rounding made it', () => {
    expect(decimal('0', { digits: 2, sign: 'always' })).toBe('0.00')
    expect(decimal('-0.001', { digits: 2 })).toBe('0.00')
  })

  it('rounds half away from zero, across every nine', () => {
    expect(decimal('0.005', { digits: 2 })).toBe('0.01')
    expect(decimal('-999.995', { digits: 2 })).toBe(`${MINUS}1,000.00`)
    expect(decimal('0.004999', { digits: 2 })).toBe('0.00')
    expect(decimal('2.5', { digits: 0 })).toBe('3')
  })

  it('never shows what is unknown as zero', () => {
    for (const unknown of [null, undefined, '', 'NaN', '1e9', 'Infinity']) expect(decimal(unknown, { digits: 2 })).toBe(UNKNOWN)
    expect(count(null)).toBe(UNKNOWN)
    expect(percent(undefined)).toBe(UNKNOWN)
    expect(signOf(null)).toBeNull()
    expect(plotted('')).toBeNull()
  })

  it('turns a fraction into per cent without arithmetic on floats', () => {
    expect(percent('0.0412')).toBe('4.12 %')
    expect(percent('-0.1')).toBe(`${MINUS}10.00 %`)
    expect(percent('1', { digits: 0 })).toBe('100 %')
    expect(percent('0.000049', { sign: 'always' })).toBe('0.00 %')
    expect(percent('0.00005', { sign: 'always' })).toBe('+0.01 %')
  })

  it('reads signs', () => {
    expect([signOf('-0.00'), signOf('0.001'), signOf('-3')]).toEqual([0, 1, -1])
    expect(count(1234567)).toBe('1,234,567')
    expect(plotted('-1.5')).toBe(-1.5)
  })

  it('compares exactly, however many digits there are', () => {
    expect(compared('0.1', '0.10')).toBe(0)
    expect(compared('9007199254740993.1', '9007199254740993.2')).toBe(-1)
    expect([compared('-2', '1'), compared('2', '-1'), compared('-1', '-2'), compared('-0', '0')]).toEqual([-1, 1, 1, 0])
    expect([compared('', '1'), compared('1', 'x')]).toEqual([null, null])
  })
})
