// Every latency profile: cores that spin for ever, sleep at once, or spin for a while must leave nothing undone. No
// answers wake the publishers' core here: it must notice by itself when a lane to another core has room again.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Raw, assertFields } from '../helpers/raw.mjs'
import { REFERENCE, SHARDS, serverFor } from '../helpers/server.mjs'
import { until, unique } from '../helpers/until.mjs'
import { EVENT } from '../helpers/wire.mjs'

const skip = REFERENCE
const PAIRS = 6
const EVENTS = 2000

describe('floods through short lanes arrive whole and in order', { skip }, () => {
  for (const latencyProfile of ['eco', 'balanced', 'spin']) {
    test(`latencyProfile ${latencyProfile}`, async (t) => {
      // A core that never sleeps takes a CPU from the others: two are enough to cross.
      const count = latencyProfile === 'spin' ? Math.min(SHARDS, 2) : SHARDS
      const server = await serverFor(t, {
        memory: true,
        limits: { backlogPacketsMax: 16 },
        extra: { cores: { count, pin: false, latencyProfile } }
      })
      const pairs = await Promise.all(Array.from({ length: PAIRS }, async () => {
        const [publisher, subscriber] = [await Raw.login(t, server), await Raw.login(t, server)]
        const name = unique('flood')
        subscriber.event(EVENT.SUBSCRIBE, { names: [name], correlationId: '0' })
        assertFields(await subscriber.take(), { action: EVENT.SUBSCRIBE, isAck: true })
        return { publisher, subscriber, name }
      }))
      for (const { publisher, name } of pairs) {
        for (let index = 0; index < EVENTS; index++) publisher.event(EVENT.EMIT, { name, data: String(index) })
      }
      await until('every event arrives', () => pairs.every(({ subscriber }) => subscriber.received.length >= EVENTS), { deadline: 30000 })
      const expected = Array.from({ length: EVENTS }, (_, index) => String(index))
      for (const { subscriber } of pairs) assert.deepEqual(subscriber.received.map((message) => message.data), expected)
    })
  }
})
