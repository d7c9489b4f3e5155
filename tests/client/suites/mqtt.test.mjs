// MQTT as clients of it know it: the library of npm against the real server.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loggedIn, ready, subscribed, untilData } from '../helpers/clients.mjs'
import { connected, hears, mqttServer, tried } from '../helpers/mqtt.mjs'
import { unique, until, within } from '../helpers/until.mjs'

for (const protocolVersion of [4, 5]) {
  describe(`MQTT ${protocolVersion}`, () => {
    const version = { protocolVersion }

    test('messages of either quality of service reach every subscriber, and come back to who sent them', async (t) => {
      const server = await mqttServer(t)
      const [one, other] = [await connected(t, server, version), await connected(t, server, version)]
      const topic = unique('t')
      const [granted] = await one.subscribeAsync(topic, { qos: 1 })
      assert.equal(granted.qos, 1)
      await other.subscribeAsync(topic, { qos: 0 })
      const payloads = ['plain text', '{"a": 1}', '12.50', '"quoted"', '', 'ünï \u{1f600}', '[1,2', 'true']
      for (const payload of payloads) await other.publishAsync(topic, payload, { qos: 1 })
      const expected = payloads.map((payload) => [topic, payload])
      assert.deepEqual(await hears(one, payloads.length), expected)
      assert.deepEqual(await hears(other, payloads.length), expected)
      assert.ok(one.heard.every(([, , packet]) => packet.qos === 1 && !packet.retain && !packet.dup))
      assert.ok(other.heard.every(([, , packet]) => packet.qos === 0))
      await one.publishAsync(topic, 'last', { qos: 0 })
      assert.deepEqual((await hears(other, payloads.length + 1)).at(-1), [topic, 'last'])
    })

    test('quality of service 2 is taken once, and granted as 1', async (t) => {
      const server = await mqttServer(t)
      const client = await connected(t, server, version)
      const topic = unique('t')
      const [granted] = await client.subscribeAsync(topic, { qos: 2 })
      assert.equal(granted.qos, 1)
      for (let index = 0; index < 5; index++) await client.publishAsync(topic, `${index}`, { qos: 2 })
      assert.deepEqual((await hears(client, 5)).map(([, payload]) => payload), ['0', '1', '2', '3', '4'])
    })

    test('a thousand messages arrive in order', async (t) => {
      const server = await mqttServer(t)
      const [sender, receiver] = [await connected(t, server, version), await connected(t, server, version)]
      const topic = unique('t')
      await receiver.subscribeAsync(topic, { qos: 1 })
      const sent = []
      for (let index = 0; index < 3000; index++) sent.push(sender.publishAsync(topic, `${index}`, { qos: index % 2 }))
      await Promise.all(sent)
      const heard = await hears(receiver, 3000)
      assert.deepEqual(heard.map(([, payload]) => payload), [...heard.keys()].map(String))
    })

    test('events of deepstream are messages, messages are events', async (t) => {
      const server = await mqttServer(t)
      const [device, browser] = [await connected(t, server, version), await loggedIn(t, server)]
      const topic = unique('event')
      const events = []
      await subscribed(browser, topic, (data) => events.push(data), await loggedIn(t, server))
      await device.subscribeAsync(topic)
      const values = ['text', 12, { a: [1] }, null, true]
      for (const value of values) browser.event.emit(topic, value)
      const heard = await hears(device, values.length)
      assert.deepEqual(heard.map(([, payload]) => payload), ['text', '12', '{"a":[1]}', 'null', 'true'])
      for (const payload of ['21.5', 'on', '{"b":2}']) await device.publishAsync(topic, payload, { qos: 1 })
      // Its own it hears too: the library sees to that.
      await until('the browser heard them', () => events.length >= values.length + 3)
      assert.deepEqual(events.slice(values.length), [21.5, 'on', { b: 2 }])
    })

    test('what is retained is a record', async (t) => {
      const server = await mqttServer(t)
      const [device, browser] = [await connected(t, server, version), await loggedIn(t, server)]
      const topic = unique('record')
      await device.publishAsync(topic, '{"x":1}', { qos: 1, retain: true })
      const record = await ready(browser, topic)
      assert.deepEqual(record.get(), { x: 1 })
      const late = await connected(t, server, version)
      await late.subscribeAsync(topic, { qos: 1 })
      assert.deepEqual(await hears(late, 1), [[topic, '{"x":1}']])
      assert.equal(late.heard[0][2].retain, true)
      record.set('y', 2)
      assert.deepEqual((await hears(late, 2)).at(-1), [topic, '{"x":1,"y":2}'])
      assert.equal(late.heard[1][2].retain, false)
      await device.publishAsync(topic, '{"z":3}', { qos: 0, retain: true })
      await untilData(record, { z: 3 })
      assert.deepEqual((await hears(late, 3)).at(-1), [topic, '{"z":3}'], 'once, though it is an event too')
      await record.setWithAck('z', undefined)
      assert.deepEqual((await hears(late, 4)).at(-1), [topic, '{}'])
    })

    test('texts and numbers are retained as they are', async (t) => {
      const server = await mqttServer(t)
      const [device, browser] = [await connected(t, server, version), await loggedIn(t, server)]
      for (const payload of ['online', '21.5', 'null', '"q"']) {
        const topic = unique('state')
        await device.publishAsync(topic, payload, { qos: 1, retain: true })
        const reader = await connected(t, server, version)
        await reader.subscribeAsync(topic)
        assert.deepEqual(await hears(reader, 1), [[topic, payload]])
        const record = await ready(browser, topic)
        assert.equal(record.get('mqtt'), true)
        assert.deepEqual(record.get('value'), payload === '"q"' || payload === 'online' ? payload : JSON.parse(payload))
      }
    })

    test('an empty retained message deletes the record, and subscriptions outlive it', async (t) => {
      const server = await mqttServer(t)
      const [device, reader] = [await connected(t, server, version), await connected(t, server, version)]
      const topic = unique('record')
      await device.publishAsync(topic, '{"x":1}', { qos: 1, retain: true })
      await reader.subscribeAsync(topic)
      await hears(reader, 1)
      await device.publishAsync(topic, '', { qos: 1, retain: true })
      assert.deepEqual((await hears(reader, 2)).at(-1), [topic, ''])
      const late = await connected(t, server, version)
      await late.subscribeAsync(topic)
      await device.publishAsync(topic, '{"x":2}', { qos: 1, retain: true })
      assert.deepEqual(await hears(late, 1), [[topic, '{"x":2}']])
      assert.deepEqual((await hears(reader, 3)).at(-1), [topic, '{"x":2}'])
    })

    test('nothing comes after an UNSUBSCRIBE', async (t) => {
      const server = await mqttServer(t)
      const client = await connected(t, server, version)
      const [kept, left] = [unique('t'), unique('t')]
      await client.subscribeAsync([kept, left])
      await client.unsubscribeAsync(left)
      await client.publishAsync(left, 'no', { qos: 1 })
      await client.publishAsync(left, '{"no":1}', { qos: 1, retain: true })
      await client.publishAsync(kept, 'yes', { qos: 1 })
      assert.deepEqual(await hears(client, 1), [[kept, 'yes']])
    })

    test('a password that is wrong is refused, a right one is somebody', async (t) => {
      const users = { ann: { password: 'secret', serverData: {} } }
      const server = await mqttServer(t, { extra: { auth: [{ type: 'file', options: { users } }] } })
      const refused = await tried(t, server, { ...version, username: 'ann', password: 'wrong' })
      await within('the end', refused.left)
      assert.equal(refused.failures[0].code, protocolVersion === 5 ? 0x87 : 5)
      const nobody = await tried(t, server, version)
      await within('the end', nobody.left)
      assert.equal(nobody.failures[0].code, protocolVersion === 5 ? 0x87 : 5)
      const ann = await connected(t, server, { ...version, username: 'ann', password: 'secret' })
      assert.equal(ann.connack.sessionPresent, false)
    })

    test('a last will is said of whoever is lost, not of whoever leaves', async (t) => {
      const server = await mqttServer(t)
      const watcher = await connected(t, server, version)
      const [event, state] = [unique('will'), unique('state')]
      await watcher.subscribeAsync([event, state])
      const lost = await connected(t, server, { ...version, will: { topic: event, payload: Buffer.from('lost'), qos: 1, retain: false } })
      lost.stream.destroy()
      assert.deepEqual(await hears(watcher, 1), [[event, 'lost']])
      const leaver = await connected(t, server, { ...version, will: { topic: event, payload: Buffer.from('left'), qos: 0, retain: false } })
      await leaver.endAsync()
      const retained = await connected(t, server, { ...version, will: { topic: state, payload: Buffer.from('offline'), qos: 1, retain: true } })
      retained.stream.destroy()
      assert.deepEqual(await hears(watcher, 2), [[event, 'lost'], [state, 'offline']])
      const late = await connected(t, server, version)
      await late.subscribeAsync(state)
      assert.deepEqual(await hears(late, 1), [[state, 'offline']])
    })

    test('a client that connects anew ends its former connection, and nobody else\'s', async (t) => {
      const users = { ann: { password: 'a' }, bob: { password: 'b' } }
      const server = await mqttServer(t, { extra: { auth: [{ type: 'file', options: { users } }] } })
      const ann = { ...version, clientId: 'device', username: 'ann', password: 'a' }
      const watcher = await connected(t, server, { ...ann, clientId: 'watcher' })
      const bob = await connected(t, server, { ...ann, username: 'bob', password: 'b' })
      const [topic, will] = [unique('t'), unique('will')]
      await watcher.subscribeAsync([topic, will], { qos: 1 })
      let former = await connected(t, server, { ...ann, will: { topic: will, payload: 'lost', qos: 1 } })
      // Often enough to come from every shard to every other.
      for (let round = 0; round < 12; round++) {
        const latter = await connected(t, server, ann)
        await within('the end of the former connection', former.left)
        if (protocolVersion === 5) assert.equal(former.disconnection.reasonCode, 0x8e)
        await latter.publishAsync(topic, `${round}`, { qos: 1 })
        former = latter
      }
      const heard = await hears(watcher, 13)
      assert.deepEqual(heard.filter(([name]) => name === will), [[will, 'lost']])
      assert.deepEqual(heard.filter(([name]) => name === topic).map(([, payload]) => payload), Array.from({ length: 12 }, (_, round) => `${round}`))
      // A password that is wrong ends nobody.
      const refused = await tried(t, server, { ...ann, password: 'no' })
      await within('the refusal', refused.left)
      for (const client of [former, bob]) await client.publishAsync(unique('t'), 'there', { qos: 1 })
    })

    test('whoever says nothing for longer than promised is closed', async (t) => {
      const server = await mqttServer(t)
      const watcher = await connected(t, server, version)
      const topic = unique('will')
      await watcher.subscribeAsync(topic)
      const living = await connected(t, server, { ...version, keepalive: 1 })
      const silent = await connected(t, server, { ...version, keepalive: 1, will: { topic, payload: Buffer.from('silent'), qos: 0, retain: false } })
      silent.keepaliveManager?.destroy()
      silent.keepaliveManager = null
      await within('the end', silent.left)
      assert.deepEqual(await hears(watcher, 1), [[topic, 'silent']])
      assert.equal(living.connected, true)
      if (protocolVersion === 5) assert.equal(silent.disconnection.reasonCode, 0x8d)
    })
  })
}
