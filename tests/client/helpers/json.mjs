// The JSON protocol by hand: objects in, objects out, in order.

import assert from 'node:assert/strict'
import { ByHand } from './by-hand.mjs'
import { matches } from './raw.mjs'
import { AUTH, CONNECTION, TOPIC } from './wire.mjs'

export const PATH = '/deepstream-json'

export class Json extends ByHand {
  static PATH = PATH

  read (data, isBinary) {
    return [isBinary ? { binary: data.toString('hex') } : JSON.parse(data)]
  }

  fits (message, fields) {
    return matches(message, fields)
  }

  static async challenged (t, server, options) {
    const json = await Json.open(t, server, options)
    const answer = await json.ask({ topic: TOPIC.CONNECTION, action: CONNECTION.CHALLENGE, url: 'ws://h', protocolVersion: '0.1a', sdkVersion: '7.0.5', sdkType: 'javascript' })
    assert.deepEqual(answer, { topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })
    return json
  }

  static async login (t, server, parameters = {}, options = {}) {
    const json = await Json.challenged(t, server, options)
    const answer = await json.ask({ topic: TOPIC.AUTH, action: AUTH.REQUEST, parsedData: parameters })
    assert.deepEqual([answer.topic, answer.action], [TOPIC.AUTH, AUTH.AUTH_SUCCESSFUL])
    return json
  }

  say (message) {
    this.text(JSON.stringify(message))
  }

  text (text) {
    this.socket.send(text)
  }

  /** What arrived before the answer to a ping sent now. */
  async untilPong () {
    this.say({ topic: TOPIC.CONNECTION, action: CONNECTION.PING })
    await this.next({ topic: TOPIC.CONNECTION, action: CONNECTION.PONG })
    return this.passed
  }
}
