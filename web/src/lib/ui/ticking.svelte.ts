// One clock for every age on the page, twice a second, asleep while the page is hidden.

class Ticking {
  now = $state(Date.now())
  #timer: ReturnType<typeof setInterval> | undefined

  start(): () => void {
    const wake = (): void => {
      clearInterval(this.#timer)
      this.now = Date.now()
      if (!document.hidden) this.#timer = setInterval(() => (this.now = Date.now()), 500)
    }
    wake()
    document.addEventListener('visibilitychange', wake)
    return () => {
      clearInterval(this.#timer)
      document.removeEventListener('visibilitychange', wake)
    }
  }
}

export const ticking = new Ticking()
