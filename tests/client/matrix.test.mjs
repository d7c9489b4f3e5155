// Every protocol with every other: what one says or writes, the other hears and sees; plain and over TLS, on two shards.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Json } from './json.mjs'
import { connected } from './mqtt.mjs'
import { Raw } from './raw.mjs'
import { REFERENCE } from './server.mjs'
import { Text } from './text.mjs'
import { startSecured } from './tls.mjs'
import { unique, until } from './until.mjs'
import { EVENT, RECORD, TOPIC } from './wire.mjs'

const skip = REFERENCE
/** What is said and written: each value as every protocol has to bring it over. */
const VALUES = [{ a: [1, { b: null }], text: 'ünï "x" \u001e 🚀' }, {}, { n: -1.5 }]

/** How each protocol does it. `emit` and `write` need no answer; `hear` and `watch` give a function for the next value. */
const DOORS = {
  protobuf: {
    async open (t, server) {
      const raw = await Raw.login(t, server)
      return {
        emit: (name, value) => raw.event(EVENT.EMIT, { name, data: JSON.stringify(value) }),
        write: (name, value) => raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: JSON.stringify(value) }),
        async hear (name) {
          await raw.ask(TOPIC.EVENT, { action: EVENT.SUBSCRIBE, names: [name], correlationId: '1' }, { isAck: true })
          return async () => JSON.parse((await raw.next({ action: EVENT.EMIT, name })).data)
        },
        async watch (name) {
          await raw.ask(TOPIC.RECORD, { action: RECORD.SUBSCRIBECREATEANDREAD, names: [name], correlationId: '1' }, { action: RECORD.READ_RESPONSE })
          return async () => JSON.parse((await raw.next({ action: RECORD.UPDATE, name })).data)
        }
      }
    }
  },
  text: {
    async open (t, server) {
      const text = await Text.login(t, server)
      const part = (message) => message.slice(0, -1).split('|')
      return {
        emit: (name, value) => text.say(`E|EVT|${name}|O${JSON.stringify(value)}+`),
        write: (name, value) => text.say(`R|CU|${name}|-1|${JSON.stringify(value)}+`),
        async hear (name) {
          await text.ask(`E|S|${name}+`)
          return async () => JSON.parse(part(await text.next(`E|EVT|${name}`))[3].slice(1))
        },
        async watch (name) {
          await text.ask(`R|CR|${name}+`, 2)
          return async () => JSON.parse(part(await text.next(`R|U|${name}`))[4])
        }
      }
    }
  },
  json: {
    async open (t, server) {
      const json = await Json.login(t, server)
      return {
        emit: (name, value) => json.say({ topic: TOPIC.EVENT, action: EVENT.EMIT, name, parsedData: value }),
        write: (name, value) => json.say({ topic: TOPIC.RECORD, action: RECORD.CREATEANDUPDATE, name, version: -1, parsedData: value }),
        async hear (name) {
          await json.ask({ topic: TOPIC.EVENT, action: EVENT.SUBSCRIBE, names: [name], correlationId: '1' })
          return async () => (await json.next({ action: EVENT.EMIT, name })).parsedData
        },
        async watch (name) {
          await json.ask({ topic: TOPIC.RECORD, action: RECORD.SUBSCRIBECREATEANDREAD, names: [name], correlationId: '1' }, 2)
          return async () => (await json.next({ action: RECORD.UPDATE, name })).parsedData
        }
      }
    }
  }
}

/** MQTT, of either version: a value is a payload, a record what is retained. */
function mqttDoor (protocolVersion) {
  return {
    async open (t, server) {
      const client = await connected(t, server, { url: server.mqttUrl, ca: server.ca, protocolVersion })
      let taken = 0
      const next = async () => {
        await until('a message comes', () => client.heard.length > taken)
        return JSON.parse(client.heard[taken++][1])
      }
      const subscribe = async (name) => {
        await client.subscribeAsync(name, { qos: 1 })
        return next
      }
      return {
        emit: (name, value) => client.publishAsync(name, JSON.stringify(value), { qos: 1 }),
        write: (name, value) => client.publishAsync(name, JSON.stringify(value), { qos: 1, retain: true }),
        hear: subscribe,
        watch: subscribe
      }
    }
  }
}
DOORS['MQTT 3.1.1'] = mqttDoor(4)
DOORS['MQTT 5'] = mqttDoor(5)

for (const secure of [false, true]) {
  describe(secure ? 'over TLS' : 'plain', { skip }, () => {
    let server
    let door
    before(async () => {
      server = await startSecured({ shards: 2 })
      door = secure ? server.secured : server
    })
    after(() => server.discard())

    for (const [from, one] of Object.entries(DOORS)) {
      for (const [to, other] of Object.entries(DOORS)) {
        test(`${from} → ${to}`, async (t) => {
          const [sayer, listener] = [await one.open(t, door), await other.open(t, door)]
          // Several names, so that both shards own some.
          for (let round = 0; round < 4; round++) {
            const name = unique('matrix')
            const hears = await listener.hear(name)
            for (const value of VALUES) sayer.emit(name, value)
            for (const value of VALUES) assert.deepEqual(await hears(), value)
            // Another name: what MQTT retains is an event too.
            const kept = unique('matrix')
            const sees = await listener.watch(kept)
            for (const value of VALUES) await sayer.write(kept, value)
            for (const value of VALUES) assert.deepEqual(await sees(), value)
          }
        })
      }
    }
  })
}
