// The documents about people under short names. `openapi.ts` is generated from the API's schemas: `npm run types`.

import type { components } from '../api/openapi.ts'

type Schemas = components['schemas']

export type Role = Schemas['Role']
export type Scope = Schemas['Scope']
export type PersonRef = Schemas['PersonRef']
export type Person = Schemas['PersonDocument']
export type Session = Schemas['SessionDocument']
export type Ceremony = Schemas['PasskeyOptions']
/** A secret for an authenticator app, in force once a code of it was given. */
export type TotpOffer = Schemas['TotpOffer']
export type Me = Schemas['Me']
export type Invited = Schemas['Invitation']
export type PasskeyRow = Schemas['PasskeyRow']
export type SessionRow = Schemas['SessionRow']
export type TokenRow = Schemas['TokenRow']
export type DeviceRequest = Schemas['DeviceRow']
export type RoleMatrix = Schemas['RoleMatrix']
export type Approval = Schemas['ApprovalRow']
export type CommandLeft = Schemas['CommandLeft']
export type CommandRow = Schemas['CommandRow']
export type Command = CommandLeft['command']

export const ROLES = ['viewer', 'trader', 'researcher', 'risk', 'auditor', 'admin'] as const satisfies readonly Role[]

export const SCOPES = [
  'read',
  'trade:paper',
  'trade:live',
  'risk:write',
  'brake:engage',
  'brake:release',
  'model:approve',
  'audit:read',
  'admin',
] as const satisfies readonly Scope[]

export const APPROVAL_STATES = ['requested', 'approved', 'refused', 'withdrawn', 'expired', 'used'] as const satisfies readonly Approval['state'][]
