// Passkeys: the server's options as the browser wants them, and the browser's credentials as JSON.

import { Problem } from '../api/client.ts'
import { fromBase64Url, toBase64Url } from './bytes.ts'

type Json = Record<string, unknown>

const bytesOf = (value: unknown): Uint8Array<ArrayBuffer> => fromBase64Url(String(value))
const described = (list: unknown): PublicKeyCredentialDescriptor[] =>
  ((list as Json[] | null | undefined) ?? []).map((entry) => ({ ...entry, id: bytesOf(entry.id) }) as unknown as PublicKeyCredentialDescriptor)

/** Options to make a passkey, their bytes decoded. */
export function creationOptions(options: Json): PublicKeyCredentialCreationOptions {
  const user = options.user as Json
  return {
    ...options,
    challenge: bytesOf(options.challenge),
    user: { ...user, id: bytesOf(user.id) },
    excludeCredentials: described(options.excludeCredentials),
  } as unknown as PublicKeyCredentialCreationOptions
}

/** Options to show a passkey, their bytes decoded. */
export function requestOptions(options: Json): PublicKeyCredentialRequestOptions {
  return {
    ...options,
    challenge: bytesOf(options.challenge),
    allowCredentials: described(options.allowCredentials),
  } as unknown as PublicKeyCredentialRequestOptions
}

/** A credential as the server reads it. */
export function credentialJson(credential: PublicKeyCredential): Json {
  const { response } = credential
  const own: Json = { clientDataJSON: toBase64Url(response.clientDataJSON) }
  if ('attestationObject' in response) {
    const made = response as AuthenticatorAttestationResponse
    own.attestationObject = toBase64Url(made.attestationObject)
    own.transports = made.getTransports()
  } else {
    const shown = response as AuthenticatorAssertionResponse
    own.authenticatorData = toBase64Url(shown.authenticatorData)
    own.signature = toBase64Url(shown.signature)
    own.userHandle = shown.userHandle === null ? null : toBase64Url(shown.userHandle)
  }
  return {
    id: credential.id,
    rawId: toBase64Url(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: own,
  }
}

/** Make a passkey on this device. */
export async function makePasskey(options: Json): Promise<Json> {
  return ceremony('made', () => navigator.credentials.create({ publicKey: creationOptions(options) }))
}

/** Show a passkey of this device. */
export async function showPasskey(options: Json): Promise<Json> {
  return ceremony('shown', () => navigator.credentials.get({ publicKey: requestOptions(options) }))
}

async function ceremony(done: string, ask: () => Promise<Credential | null>): Promise<Json> {
  try {
    const credential = await ask()
    if (!(credential instanceof PublicKeyCredential)) throw new Problem(0, 'NO_PASSKEY', `no passkey was ${done}`, 'try again, or use your password')
    return credentialJson(credential)
  } catch (thrown) {
    throw problemOfCeremony(thrown, done)
  }
}

/** What the browser said, in words that say what to do. */
export function problemOfCeremony(thrown: unknown, done: string): Problem {
  if (thrown instanceof Problem) return thrown
  const name = thrown instanceof Error ? thrown.name : ''
  if (name === 'InvalidStateError')
    return new Problem(0, 'PASSKEY_KNOWN', 'this device already has a passkey of yours', 'use it to sign in, or take another device')
  if (name === 'SecurityError')
    return new Problem(0, 'PASSKEY_ADDRESS', 'this address cannot have passkeys', 'open the same page at localhost, or use your password')
  if (name === 'NotAllowedError')
    return new Problem(0, 'NO_PASSKEY', `no passkey was ${done}: it was cancelled, took too long, or there is none`, 'try again, or use your password')
  return new Problem(0, 'NO_PASSKEY', `no passkey was ${done}`, 'try another device, or use your password')
}

/** Whether this page's address can have passkeys; IP addresses cannot. */
export function passkeysHere(): boolean {
  return typeof PublicKeyCredential === 'function' && !/^(\d+\.\d+\.\d+\.\d+|\[.*\])$/.test(location.hostname)
}

/** The same page under the name that can have passkeys. */
export function atLocalhost(): string {
  return location.href.replace(`//${location.host}`, `//localhost${location.port ? `:${location.port}` : ''}`)
}

/** What a new passkey is called until somebody renames it: browser and system, as far as they say. */
export function deviceName(agent: string = navigator.userAgent): string {
  const browser = ['Edg', 'OPR', 'Firefox', 'Chrome', 'Safari'].find((name) => agent.includes(`${name}/`))
  const system = ['Android', 'iPhone', 'iPad', 'Windows', 'Mac OS X', 'Linux'].find((name) => agent.includes(name))
  const said = { Edg: 'Edge', OPR: 'Opera', 'Mac OS X': 'macOS' } as Record<string, string>
  return [browser, system].map((name) => (name === undefined ? '' : (said[name] ?? name))).filter(Boolean).join(' on ') || 'a device'
}
