// The one text of a payload, as the server hashes it: keys sorted, no spaces. Payloads hold text, whole numbers, true, false, lists and objects.

export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const inside = value as Record<string, unknown>
    const keys = Object.keys(inside).sort()
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(inside[key])}`).join(',')}}`
  }
  return JSON.stringify(value)
}
