// Every protocol with every other: what one says or writes, the other hears and sees; plain and over TLS, on two shards.
// HTTP hears nothing by itself: it sees a record by reading it, and an event not at all. In its column a client of protobuf
// hears the events instead.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { posted, talk } from '../helpers/http.mjs'
import { Json } from '../helpers/json.mjs'
import { connected } from '../helpers/mqtt.mjs'
import { Raw } from '../helpers/raw.mjs'
import { REFERENCE } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { startSecured } from '../helpers/tls.mjs'
import { unique, until } from '../helpers/until.mjs'
import { EVENT, RECORD, TOPIC } from '../helpers/wire.mjs'

const skip = REFERENCE
/** What is said and written: each value as every protocol has to bring it over. */
const VALUES = [{ a: [1, { b: null }], text: 'ünï "x" \u001e 🚀' }, {}, { n: -1.5 }]

/** How each protocol does it: `emit` and `write` may give a promise; `hear` and `watch` give a function for the next value. */
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
DOORS.HTTP = {
  async open (t, server) {
    const socket = await talk(t, server)
    // Requests are not waited for before the next one is sent, all on one connection, and succeed in order.
    const ask = async (entry) => {
      socket.write(posted({ body: [entry] }))
      const [{ status, body }] = await socket.answers(1)
      assert.equal(status, 200, body)
      const { result, body: [answer] } = JSON.parse(Buffer.from(body, 'latin1'))
      assert.equal(result, 'SUCCESS', body)
      return answer
    }
    return {
      emit: (name, data) => ask({ topic: 'event', action: 'emit', eventName: name, data }),
      write: (name, data) => ask({ topic: 'record', action: 'write', recordName: name, data }),
      async watch (name) {
        let seen = (await ask({ topic: 'record', action: 'head', recordName: name })).version
        // Every version, if they are written one after the other.
        return async () => {
          await until('a version is there', async () => (await ask({ topic: 'record', action: 'head', recordName: name })).version > seen)
          const { version, data } = await ask({ topic: 'record', action: 'read', recordName: name })
          seen = version
          return data
        }
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
          const ear = listener.hear ? listener : await DOORS.protobuf.open(t, door)
          for (let round = 0; round < 4; round++) {
            const name = unique('matrix')
            const hears = await ear.hear(name)
            const said = VALUES.map((value) => sayer.emit(name, value))
            for (const value of VALUES) assert.deepEqual(await hears(), value)
            await Promise.all(said)
            // Another name: what MQTT retains is an event too.
            const kept = unique('matrix')
            const sees = await listener.watch(kept)
            if (listener.hear) {
              for (const value of VALUES) await sayer.write(kept, value)
              for (const value of VALUES) assert.deepEqual(await sees(), value)
              continue
            }
            for (const value of VALUES) {
              await sayer.write(kept, value)
              assert.deepEqual(await sees(), value)
            }
          }
        })
      }
    }
  })
}
