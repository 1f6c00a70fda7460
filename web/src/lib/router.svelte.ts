// Addresses are the state: every page, filter and order of rows has one, and the same address opens the same view.

type Query = Record<string, string>

class Router {
  path = $state(location.pathname)
  query = $state<Query>(Object.fromEntries(new URLSearchParams(location.search)))

  constructor() {
    addEventListener('popstate', () => this.#read())
  }

  #read(): void {
    this.path = location.pathname
    this.query = Object.fromEntries(new URLSearchParams(location.search))
  }

  go(address: string): void {
    if (address === location.pathname + location.search) return
    history.pushState(null, '', address)
    this.#read()
    scrollTo(0, 0)
  }

  /** Change some of the query in place; an empty value removes its key. */
  set(changes: Query): void {
    const query = new URLSearchParams(location.search)
    for (const [key, value] of Object.entries(changes)) {
      if (value === '') query.delete(key)
      else query.set(key, value)
    }
    const text = query.toString()
    history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''))
    this.#read()
  }
}

export const router = new Router()

/** Follow a click on one of our own links without loading the page again; others are left to the browser. */
export function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = event.target instanceof Element ? event.target.closest('a') : null
  if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download') || link.hash) return
  if (/^\/(api|health|ws)\b/.test(link.pathname)) return
  event.preventDefault()
  router.go(link.pathname + link.search)
}

export const lineageOf = (id: string): string => `/lineage/${encodeURIComponent(id)}`
