import { describe, expect, it } from 'vitest'
import { fromBase64Url, sha256, toBase64Url } from './bytes.ts'
import { creationOptions, credentialJson, deviceName, problemOfCeremony, requestOptions } from './webauthn.ts'

const bytes = (...values: number[]): ArrayBuffer => new Uint8Array(values).buffer

describe('bytes as text', () => {
  it('writes base64url without padding, and reads it back, whatever the length', () => {
    expect(toBase64Url(bytes(0xfb, 0xff, 0xbf))).toBe('-_-_')
    for (let length = 0; length < 70; length += 1) {
      const all = Uint8Array.from({ length }, (_, place) => (place * 37 + length) % 256)
      const text = toBase64Url(all)
      expect(text).not.toMatch(/[+/=]/)
      expect([...fromBase64Url(text)]).toEqual([...all])
    }
  })

  it('hashes text in UTF-8', async () => {
    expect(await sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    expect(await sha256('ä')).toBe('33e6d73fee82904c8d7afb78de1154d1e8dc2a0edb08120e63df5b9385c2d9cc')
  })
})

describe('passkeys', () => {
  it('decodes every byte of the options and leaves the rest as it is', () => {
    const made = creationOptions({
      challenge: 'AQID',
      rp: { id: 'localhost', name: 'Kedge' },
      user: { id: 'BAU', name: 'ada', displayName: 'Ada' },
      pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
      excludeCredentials: [{ id: 'Bg', type: 'public-key', transports: ['internal'] }],
      authenticatorSelection: { userVerification: 'required' },
    })
    expect([...(made.challenge as Uint8Array)]).toEqual([1, 2, 3])
    expect([...(made.user.id as Uint8Array)]).toEqual([4, 5])
    expect(made.user.displayName).toBe('Ada')
    expect([...(made.excludeCredentials?.[0]?.id as Uint8Array)]).toEqual([6])
    expect(made.excludeCredentials?.[0]?.transports).toEqual(['internal'])
    expect(made.authenticatorSelection).toEqual({ userVerification: 'required' })
    const asked = requestOptions({ challenge: 'AQID', rpId: 'localhost', userVerification: 'required' })
    expect([...(asked.challenge as Uint8Array)]).toEqual([1, 2, 3])
    expect(asked.allowCredentials).toEqual([])
    expect(asked.rpId).toBe('localhost')
  })

  it('writes a new credential and one that was shown as the server reads them', () => {
    const common = { id: 'AQ', rawId: bytes(1), type: 'public-key', authenticatorAttachment: 'platform', getClientExtensionResults: () => ({}) }
    const made = { ...common, response: { clientDataJSON: bytes(2), attestationObject: bytes(3), getTransports: () => ['internal'] } }
    expect(credentialJson(made as unknown as PublicKeyCredential)).toEqual({
      id: 'AQ',
      rawId: 'AQ',
      type: 'public-key',
      authenticatorAttachment: 'platform',
      clientExtensionResults: {},
      response: { clientDataJSON: 'Ag', attestationObject: 'Aw', transports: ['internal'] },
    })
    const shown = { ...common, response: { clientDataJSON: bytes(2), authenticatorData: bytes(4), signature: bytes(5), userHandle: null } }
    expect(credentialJson(shown as unknown as PublicKeyCredential).response).toEqual({
      clientDataJSON: 'Ag',
      authenticatorData: 'BA',
      signature: 'BQ',
      userHandle: null,
    })
  })

  it('says what to do when the browser refuses', () => {
    const refused = (name: string): string => problemOfCeremony(Object.assign(new Error('no'), { name }), 'shown').code
    expect([refused('InvalidStateError'), refused('SecurityError'), refused('NotAllowedError'), refused('AbortError')]).toEqual([
      'PASSKEY_KNOWN',
      'PASSKEY_ADDRESS',
      'NO_PASSKEY',
      'NO_PASSKEY',
    ])
    expect(problemOfCeremony(Object.assign(new Error(), { name: 'NotAllowedError' }), 'shown').fix).toContain('password')
  })

  it('names a device by browser and system', () => {
    expect(deviceName('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36')).toBe('Chrome on Linux')
    expect(deviceName('Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15')).toBe('Safari on macOS')
    expect(deviceName('Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0')).toBe('Edge on Windows')
    expect(deviceName('curl')).toBe('a device')
  })
})
