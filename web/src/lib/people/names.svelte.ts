// Names behind ids, for whoever may see people.

import { SvelteMap } from 'svelte/reactivity'
import { get } from '../api/client.ts'
import { session } from './session.svelte.ts'
import type { Person } from './types.ts'

const names = new SvelteMap<string, string>()
let asked = false

/** The name of a person's id; empty while it is not known, or not ours to know. */
export function nameOf(id: string): string {
  if (!asked && session.has('admin', 'risk', 'auditor')) {
    asked = true
    get<{ items: Person[] }>('/people')
      .then(({ items }) => items.forEach(({ person_id, display_name, name }) => names.set(person_id, `${display_name} (${name})`)))
      .catch(() => (asked = false))
  }
  return names.get(id) ?? ''
}
