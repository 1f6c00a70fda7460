// One form's state: busy, what failed, what was done. Every form of these pages has one.

import { Problem } from '../api/client.ts'

export class Asking {
  busy = $state(false)
  problem = $state.raw<Problem | null>(null)
  said = $state('')

  /** Do it; what fails is shown and false is given back. A second press meanwhile does nothing. */
  async run(act: () => Promise<string | void>): Promise<boolean> {
    if (this.busy) return false
    this.busy = true
    this.problem = null
    this.said = ''
    try {
      this.said = (await act()) ?? ''
      return true
    } catch (thrown) {
      this.problem = Problem.from(thrown)
      return false
    } finally {
      this.busy = false
    }
  }
}
