// The text protocol by hand: `|` stands for the byte between parts, and `+` for the one that ends a message.

import { ByHand } from './by-hand.mjs'
import { PATH } from './old-clients.mjs'

export const said = (text) => text.replaceAll('|', '\x1f').replaceAll('+', '\x1e')
const shown = (text) => text.replaceAll('\x1f', '|').replaceAll('\x1e', '+')

/** An open one is greeted, and not logged in. */
export class Text extends ByHand {
  static PATH = PATH

  read (data, isBinary) {
    if (isBinary) return [`binary ${data.toString('hex')}`]
    return shown(data.toString()).match(/[^+]*\+|[^+]+$/g) ?? ['an empty frame']
  }

  fits (message, start) {
    return message.startsWith(start)
  }

  static async login (t, server, parameters = {}, options = {}) {
    const text = await Text.open(t, server, options)
    text.say(`A|REQ|${JSON.stringify(parameters)}+`)
    await text.next('A|A')
    return text
  }

  say (text) {
    this.socket.send(said(text))
  }

  /** The next message in order of arrival; pings are passed over. */
  async take (deadline) {
    for (;;) {
      const message = await super.take(deadline)
      if (message !== 'C|PI+') return message
    }
  }

  /** What arrived before the answer to a ping sent now. */
  async untilPong () {
    this.say('C|PI+')
    await this.next('C|PO+')
    return this.passed
  }
}
