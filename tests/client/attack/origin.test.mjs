// Browsers' pages of origins that the configuration does not allow are refused, over HTTP and on every path of a
// WebSocket.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import WebSocket from 'ws'
import { post, talk } from '../helpers/http.mjs'
import { serverFor } from '../helpers/server.mjs'
import { atEnd, until, within } from '../helpers/until.mjs'

const GOOD = 'https://good.example'
const PATHS = ['/deepstream', '/deepstream-v3', '/deepstream-json']
const http = { allowAllOrigins: false, origins: [GOOD, 'http://also.example:8080'] }

/** 101, or the status and words with which it was refused. */
async function upgrade (t, server, path, headers) {
  const socket = new WebSocket(`ws://${server.url}${path}`, { headers, perMessageDeflate: false })
  atEnd(t, () => socket.terminate())
  socket.on('error', () => {})
  const opened = once(socket, 'open').then(() => ({ status: 101 }))
  const refused = once(socket, 'unexpected-response').then(async ([, response]) => {
    let text = ''
    for await (const piece of response) text += piece
    return { status: response.statusCode, text }
  })
  return within('an answer', Promise.race([opened, refused]))
}

describe('a page of another origin', () => {
  test('is let in nowhere, with words, and the log says who it was', async (t) => {
    const server = await serverFor(t, { http })
    for (const origin of ['https://evil.example', 'http://good.example', `${GOOD}.evil.example`, 'null']) {
      const words = `Origin "${origin}" is forbidden.`
      for (const path of PATHS) {
        assert.deepEqual(await upgrade(t, server, path, { origin }), { status: 403, text: words }, path)
      }
      const { status, text } = await post(server, { body: [] }, { headers: { origin } })
      assert.deepEqual([status, text.trim()], [403, words])
    }
    assert.equal((await upgrade(t, server, '/deepstream', { referer: 'https://evil.example/page' })).status, 403)
    await until('the log says it', () => /CONNECTION_REFUSED \| a page was not let in; address 127\.0\.0\.1, (endpoint http, )?key httpServer\.options\.origins: Origin "https:\/\/evil\.example" is forbidden\./.test(server.log))
    const lines = server.log.split('\n').filter((line) => line.includes('CONNECTION_REFUSED'))
    assert.ok(lines.length <= 30 * server.shards, 'a bounded number of lines')
  })

  test('is not let in behind requests of a connection either', async (t) => {
    const server = await serverFor(t, { http })
    const socket = await talk(t, server)
    const head = (lines) => [...lines, `Host: ${server.url}`, '', ''].join('\r\n')
    socket.write(head(['GET /health-check HTTP/1.1']))
    assert.equal((await socket.answers(1))[0].status, 200)
    socket.write(head(['GET /deepstream HTTP/1.1', 'Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Origin: https://evil.example']))
    assert.equal((await socket.answers(1))[0].status, 403)
  })

  test('passes where it is listed, and who is no page passes', async (t) => {
    const server = await serverFor(t, { http })
    for (const headers of [{ origin: GOOD }, { origin: 'http://also.example:8080' }, {}]) {
      for (const path of PATHS) assert.equal((await upgrade(t, server, path, headers)).status, 101, path)
      assert.equal((await post(server, { body: [{ topic: 'event', action: 'emit', eventName: 'e' }] }, { headers })).status, 200)
    }
    const everywhere = await serverFor(t)
    assert.equal((await upgrade(t, everywhere, '/deepstream', { origin: 'https://evil.example' })).status, 101)
  })

  test('names the host that is wanted, if one is', async (t) => {
    const server = await serverFor(t, { http: { ...http, hostUrl: 'own.example:6020' } })
    for (const path of PATHS) {
      assert.deepEqual(await upgrade(t, server, path, { origin: GOOD }), { status: 403, text: 'Forbidden Host.' })
      assert.equal((await upgrade(t, server, path, { origin: GOOD, host: 'own.example:6020' })).status, 101)
      assert.equal((await upgrade(t, server, path, {})).status, 101)
    }
    assert.equal((await post(server, { body: [] }, { headers: { origin: GOOD } })).status, 403)
  })
})
