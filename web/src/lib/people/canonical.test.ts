import { describe, expect, it } from 'vitest'
import { sha256 } from './bytes.ts'
import { canonical } from './canonical.ts'

describe('the canonical text of a payload', () => {
  it('is that of the server, to the byte', async () => {
    const payload = { version: 3, roles: ['auditor'], person_id: 'p-1', note: 'Zoë said "yes"\nand \\ no', inside: { b: true, a: false } }
    expect(canonical(payload)).toBe(
      '{"inside":{"a":false,"b":true},"note":"Zoë said \\"yes\\"\\nand \\\\ no","person_id":"p-1","roles":["auditor"],"version":3}',
    )
    expect(await sha256(canonical(payload))).toBe('2bca23179914406d925c70d4f19dcd5cfa8d95347c358a2f25a11b485bc12c1f')
  })
})
