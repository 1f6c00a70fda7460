// What a person chose, kept in this browser: theme and the colours of gain and loss.

export type Theme = 'auto' | 'dark' | 'light'
export type Palette = 'blue-orange' | 'green-red' | 'red-green' | 'mono'

export const THEMES: readonly Theme[] = ['auto', 'dark', 'light']
export const PALETTES: readonly Palette[] = ['blue-orange', 'green-red', 'red-green', 'mono']

function kept<T extends string>(key: string, allowed: readonly T[], fallback: T): T {
  try {
    const found = localStorage.getItem(key) as T | null
    return found !== null && allowed.includes(found) ? found : fallback
  } catch {
    return fallback // a browser that keeps nothing
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // shown for this visit only
  }
}

class Settings {
  theme = $state<Theme>(kept('kedge.theme', THEMES, 'auto'))
  palette = $state<Palette>(kept('kedge.palette', PALETTES, 'blue-orange'))
  #system = matchMedia('(prefers-color-scheme: light)')
  #systemIsLight = $state(this.#system.matches)

  /** The theme that is drawn. */
  readonly shown = $derived(this.theme === 'auto' ? (this.#systemIsLight ? 'light' : 'dark') : this.theme)

  start(): void {
    this.#system.addEventListener('change', (event) => {
      this.#systemIsLight = event.matches
      this.apply()
    })
    this.apply()
  }

  apply(): void {
    document.documentElement.dataset.theme = this.shown
    document.documentElement.dataset.palette = this.palette
  }

  nextTheme(): void {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length] ?? 'auto'
    keep('kedge.theme', this.theme)
    this.apply()
  }

  nextPalette(): void {
    this.palette = PALETTES[(PALETTES.indexOf(this.palette) + 1) % PALETTES.length] ?? 'blue-orange'
    keep('kedge.palette', this.palette)
    this.apply()
  }
}

export const settings = new Settings()

/** A colour of the theme, for what is drawn on a canvas. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}
