// Keys that work everywhere, except while somebody types.

export interface Shortcut {
  keys: string
  words: string
  run: () => void
}

const CHORD_MS = 1_200

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

/** Listen for shortcuts such as `?`, `g o` (one key after the other) and `ctrl+k`. Returns how to stop. */
export function listen(shortcuts: readonly Shortcut[]): () => void {
  let before = ''
  let timer: ReturnType<typeof setTimeout> | undefined
  const heard = (event: KeyboardEvent): void => {
    const held = event.ctrlKey || event.metaKey
    const bare = event.key.length === 1 ? event.key.toLowerCase() : event.key
    const shifted = event.shiftKey && !held && /^[a-z]$/.test(bare) // a capital alone may come from a caps lock
    const pressed = (held ? 'ctrl+' : shifted ? 'shift+' : '') + bare
    if (event.altKey || event.isComposing || (typing(event.target) && !held)) return
    const found = shortcuts.find(({ keys }) => keys === `${before} ${pressed}`) ?? shortcuts.find(({ keys }) => keys === pressed)
    before = ''
    clearTimeout(timer)
    if (found) {
      event.preventDefault()
      found.run()
    } else if (!held && shortcuts.some(({ keys }) => keys.startsWith(`${pressed} `))) {
      before = pressed
      timer = setTimeout(() => (before = ''), CHORD_MS)
    }
  }
  addEventListener('keydown', heard)
  return () => {
    clearTimeout(timer)
    removeEventListener('keydown', heard)
  }
}
