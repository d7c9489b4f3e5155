// Clients that were built by a draft of WebSocket: the Java SDK asks for version 8. Frames and answers are those of version 13.

import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, describe, test } from 'node:test'
import { Json } from '../helpers/json.mjs'
import { Raw } from '../helpers/raw.mjs'
import { REFERENCE, Server } from '../helpers/server.mjs'
import { Text } from '../helpers/text.mjs'
import { until, within } from '../helpers/until.mjs'
import { CONNECTION, TOPIC } from '../helpers/wire.mjs'

let server
before(async () => { server = await Server.start() })
after(() => server.discard())

describe('versions of WebSocket', { skip: REFERENCE }, () => {
  for (const protocolVersion of [13, 8]) {
    test(`version ${protocolVersion} is spoken on the path of every protocol`, async (t) => {
      const text = await Text.login(t, server, {}, { protocolVersion })
      assert.equal(await text.ask('E|S|versions+'), 'E|A|S|versions+')
      const raw = await Raw.open(server, { protocolVersion })
      t.after(() => raw.terminate())
      // A client that asks for version 8 is spoken to in text, but may still speak protobuf.
      raw.send(TOPIC.CONNECTION, { action: CONNECTION.CHALLENGE, url: 'ws://h/deepstream', protocolVersion: '0.1a', sdkVersion: '7.1.0', sdkType: 'javascript' })
      await until('it is accepted', () => raw.received.some(({ topic, action }) => topic === TOPIC.CONNECTION && action === CONNECTION.ACCEPT))
      const json = await Json.login(t, server, { protocolVersion })
      assert.ok(json)
    })
  }

  test('presence of everybody is acknowledged as each client knows it', async (t) => {
    const ios = { headers: { Origin: 'http://localhost', 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits; server_max_window_bits=15' } }
    for (const [options, ack] of [[{}, ['S', 'US']], [{ protocolVersion: 8 }, ['U', 'U']], [ios, ['U', 'U']]]) {
      const text = await Text.login(t, server, {}, options)
      assert.equal(await text.ask('U|S|S+'), `U|A|S|${ack[0]}+`)
      assert.equal(await text.ask('U|US|US+'), `U|A|US|${ack[1]}+`)
    }
  })

  /** What an upgrade to this version is answered. */
  function asked (version, path = '/deepstream') {
    const [host, port] = server.url.split(':')
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': version }
    const request = http.request({ host, port, path, headers })
    return within('an answer', new Promise((resolve, reject) => {
      request.on('upgrade', (response, socket) => { socket.destroy(); resolve(response) })
      request.on('response', (response) => { response.resume(); resolve(response) })
      request.on('error', reject)
      request.end()
    }))
  }

  test('what is spoken is accepted alike, and what is not is told what is', async () => {
    for (const path of ['/deepstream', '/deepstream-v3', '/deepstream-json']) {
      for (const version of ['13', '8', '7']) {
        const { statusCode, headers } = await asked(version, path)
        assert.deepEqual([statusCode, headers['sec-websocket-accept']], [101, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='], `${path} ${version}`)
      }
      for (const version of ['6', '14', '80']) {
        const { statusCode, headers } = await asked(version, path)
        assert.deepEqual([statusCode, headers['sec-websocket-version']], [426, '13, 8, 7'], `${path} ${version}`)
      }
    }
  })
})
