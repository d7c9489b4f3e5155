// HTTP as bytes: keep-alive, pipelining, chunks, 100-continue, HEAD, what is too large, too slow or no HTTP; curl.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { after, before, describe, test } from 'node:test'
import tls from 'node:tls'
import { promisify } from 'node:util'
import { deflateSync, gzipSync } from 'node:zlib'
import { batch, chunked, head, post, posted, talk } from '../helpers/http.mjs'
import { REFERENCE, serverFor } from '../helpers/server.mjs'
import { answered, frame } from '../helpers/tcp.mjs'
import { said } from '../helpers/text.mjs'
import { startSecured } from '../helpers/tls.mjs'
import { until, unique, within } from '../helpers/until.mjs'
import { CONNECTION, TOPIC, encode } from '../helpers/wire.mjs'

const skip = REFERENCE
let server
before(async () => { server = await startSecured() })
after(() => server.discard())

const emit = (data) => ({ body: [{ topic: 'event', action: 'emit', eventName: 'e', data }] })
const SUCCESS = '{"result":"SUCCESS","body":[{"success":true}]}\r\n\r\n'
const upgrade = (path, more = {}) => head('GET', path, { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...more })
const CHALLENGE = { action: CONNECTION.CHALLENGE, url: 'ws://h', protocolVersion: '0.1a', sdkVersion: '7.0.5', sdkType: 'javascript' }
const HEALTH = head('GET', '/health-check')

describe('one connection', { skip }, () => {
  test('stays for the next request, and closes when it is told to', async (t) => {
    const socket = await talk(t, server)
    for (let round = 0; round < 5; round++) {
      socket.write(posted(emit(round)))
      const [answer] = await socket.answers(1)
      assert.deepEqual([answer.status, answer.body], [200, SUCCESS])
      socket.write(HEALTH)
      assert.equal((await socket.answers(1))[0].status, 200)
    }
    socket.write(posted(emit(1), { Connection: 'close' }))
    assert.match((await socket.answers(1))[0].head, /connection: close/i)
    await within('the close', socket.gone)
  })

  test('closes after a request of HTTP/1.0, unless that asks to stay', async (t) => {
    const old = await talk(t, server)
    old.write('GET /health-check HTTP/1.0\r\n\r\n')
    assert.equal((await old.answers(1))[0].status, 200)
    await within('the close', old.gone)
    const staying = await talk(t, server)
    for (let round = 0; round < 3; round++) {
      staying.write('GET /health-check HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
      assert.equal((await staying.answers(1))[0].status, 200)
    }
  })

  test('takes many requests at once and answers them in order', async (t) => {
    const socket = await talk(t, server)
    const name = unique('pipe')
    const write = (n) => posted({ body: [{ topic: 'record', action: 'write', recordName: name, data: { n } }, { topic: 'record', action: 'read', recordName: name }] })
    socket.write(Array.from({ length: 50 }, (_, n) => n % 5 === 4 ? HEALTH : write(n)).join(''))
    const answers = await socket.answers(50)
    answers.forEach(({ status, body }, n) => {
      assert.equal(status, 200)
      if (n % 5 === 4) assert.equal(body, '')
      else assert.equal(JSON.parse(body).body[1].data.n, n)
    })
  })

  test('answers a client that has closed its side', async (t) => {
    const socket = await talk(t, server)
    socket.end(posted(emit(1)) + posted(emit(2)))
    const answers = await socket.answers(2)
    assert.deepEqual(answers.map(({ body }) => body), [SUCCESS, SUCCESS])
    await within('the close', socket.gone)
  })

  test('reads a body in chunks, with extensions and trailers', async (t) => {
    const socket = await talk(t, server)
    const text = JSON.stringify(emit('ünï'))
    const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }
    socket.write(head('POST', '/api', headers) + chunked(text.slice(0, 5), text.slice(5, 30), text.slice(30)))
    socket.write(head('POST', '/api', headers) + `${Buffer.byteLength(text).toString(16)};x=y\r\n${text}\r\n0\r\nTrailer: z\r\n\r\n`)
    const answers = await socket.answers(2)
    assert.deepEqual(answers.map(({ body }) => body), [SUCCESS, SUCCESS])
  })

  test('says 100 Continue to who waits for it, and nothing to who is refused by its head', async (t) => {
    const socket = await talk(t, server)
    const text = JSON.stringify(emit(1))
    const headers = { 'Content-Type': 'application/json', 'Content-Length': text.length, Expect: '100-continue' }
    socket.write(head('POST', '/api', headers))
    assert.equal((await socket.answers(1))[0].status, 100)
    socket.write(text)
    assert.equal((await socket.answers(1))[0].body, SUCCESS)
    socket.write(head('POST', '/elsewhere', headers))
    assert.equal((await socket.answers(1))[0].status, 404)
  })

  test('answers HEAD without a body', async (t) => {
    const socket = await talk(t, server)
    socket.headOnly = true
    socket.write(head('HEAD', '/health-check') + head('HEAD', '/api'))
    const answers = await socket.answers(2)
    assert.deepEqual(answers.map(({ status }) => status), [200, 405])
    socket.headOnly = false
    socket.write(HEALTH)
    assert.equal((await socket.answers(1))[0].status, 200)
  })

  test('understands a request wherever it is cut', async (t) => {
    const request = posted(emit('cut'))
    await Promise.all(Array.from({ length: request.length - 1 }, async (_, at) => {
      const socket = await talk(t, server)
      socket.setNoDelay(true)
      await new Promise((resolve) => socket.write(request.slice(0, at + 1), resolve))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(request.slice(at + 1))
      assert.equal((await socket.answers(1))[0].body, SUCCESS)
      socket.destroy()
    }))
  })

  for (const secured of [false, true]) {
    for (const [path, opening, answer] of [
      ['/deepstream', frame(2, encode(TOPIC.CONNECTION, CHALLENGE)), answered(encode(TOPIC.CONNECTION, { action: CONNECTION.ACCEPT }))],
      ['/deepstream-v3', frame(1, Buffer.from(said('A|REQ|{}+'))), said('A|A+')],
      ['/deepstream-json', frame(1, Buffer.from(JSON.stringify({ topic: TOPIC.CONNECTION, ...CHALLENGE }))), JSON.stringify({ topic: TOPIC.CONNECTION, action: CONNECTION.ACCEPT })]
    ]) {
      test(`becomes a WebSocket after requests, as proxies have it that keep connections: ${path}${secured ? ', over TLS' : ''}`, async (t) => {
        const where = secured ? server.secured : server
        // One after the other, and everything at once, the first message too.
        for (const pipelined of [false, true]) {
          const socket = await talk(t, where)
          const requests = [HEALTH, posted(emit(1)), HEALTH, posted(emit(2))]
          if (pipelined) socket.write(Buffer.concat([Buffer.from(requests.join('') + upgrade(path)), opening]))
          for (const request of requests) {
            if (!pipelined) socket.write(request)
            assert.equal((await socket.answers(1))[0].status, 200)
          }
          if (!pipelined) socket.write(upgrade(path))
          const [accepted] = await socket.answers(1)
          assert.equal(accepted.status, 101)
          assert.match(accepted.head, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/)
          if (!pipelined) socket.write(opening)
          await until('the answer comes', () => Buffer.from(socket.rest(), 'latin1').includes(answer))
        }
      })
    }
  }

  test('an upgrade after requests is refused as it is as the first', async (t) => {
    for (const [request, status] of [[upgrade('/nowhere'), 404], [upgrade('/deepstream', { 'Sec-WebSocket-Version': 12 }), 426], [head('GET', '/deepstream'), 426]]) {
      for (const before of ['', HEALTH]) {
        const socket = await talk(t, server)
        socket.write(before + request)
        assert.equal((await socket.answers(before ? 2 : 1)).at(-1).status, status)
        await within('the close', socket.gone)
      }
    }
  })

  test('an upgrade waits until what came before it is answered, however slowly that is read', async (t) => {
    const name = unique('large')
    await batch(server, [{ topic: 'record', action: 'write', recordName: name, data: { text: 'x'.repeat(400_000) } }])
    const socket = await talk(t, server)
    socket.pause()
    const reads = posted({ body: Array(20).fill({ topic: 'record', action: 'read', recordName: name }) })
    socket.write(reads + HEALTH + upgrade('/deepstream'))
    for (let round = 0; round < 10; round++) assert.equal((await batch(server, emit(1).body)).result, 'SUCCESS')
    socket.resume()
    assert.deepEqual((await socket.answers(3, { deadline: 20_000 })).map(({ status }) => status), [200, 200, 101])
  })
})

describe('packed bodies', { skip }, () => {
  for (const [coding, pack] of [['gzip', gzipSync], ['deflate', deflateSync]]) {
    test(`${coding}, on the path of batches and on that of logins`, async () => {
      const headers = { 'content-encoding': coding }
      const text = JSON.stringify(emit('ünï'.repeat(1000)))
      for (const where of [server, server.secured]) assert.equal((await post(where, pack(text), { headers })).text, SUCCESS)
      assert.deepEqual((await post(server, pack('{"username":"ann"}'), { headers, path: '/api/auth' })).json, {})
      const bomb = await post(server, pack(Buffer.alloc(64 << 20, ' ')), { headers })
      assert.deepEqual([bomb.status, bomb.text], [400, 'Failed to parse body of request: request entity too large\r\n\r\n'])
      assert.equal(bomb.headers.get('connection'), 'close')
      for (const broken of [Buffer.from(text), pack(text).subarray(0, -1)]) {
        const answer = await post(server, broken, { headers })
        assert.equal(answer.status, 400)
        assert.match(answer.text, /^Failed to parse body of request: it is not packed as/)
      }
    })
  }

  test('codings that are not known are refused before the body is there', async (t) => {
    const socket = await talk(t, server)
    socket.write(head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Encoding': 'br', 'Content-Length': 1000 }))
    const [answer] = await socket.answers(1)
    assert.deepEqual([answer.status, answer.body], [415, 'Unsupported content encoding "br".\r\n\r\n'])
    // Its body is not waited for, and the answer says that the connection cannot be used again.
    assert.match(answer.head, /connection: close/i)
    await within('the close', socket.gone)
  })
})

describe('too much', { skip }, () => {
  test('a body that is announced or turns out too large is refused before it is there', async (t) => {
    for (const request of [
      head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': 2 ** 40 }),
      head('POST', '/api', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }) + `200000\r\n${'x'.repeat(0x200000)}\r\n`
    ]) {
      const socket = await talk(t, server)
      socket.write(request)
      const [answer] = await socket.answers(1)
      assert.equal(answer.status, 400)
      assert.match(answer.body, /request entity too large/)
      assert.match(answer.head, /connection: close/i)
      await within('the close', socket.gone)
    }
  })

  test('a head that is too large, the first and a later one', async (t) => {
    const large = head('GET', '/health-check', { Filler: 'x'.repeat(20_000) })
    for (const before of ['', HEALTH]) {
      const socket = await talk(t, server)
      socket.write(before)
      if (before) await socket.answers(1)
      socket.write(large)
      assert.equal((await socket.answers(1))[0].status, 431)
      await within('the close', socket.gone)
    }
  })

  test('a large answer arrives whole, and two at a time on one connection', async (t) => {
    const name = unique('large')
    const data = { text: 'ü'.repeat(400_000) }
    assert.equal((await batch(server, [{ topic: 'record', action: 'write', recordName: name, data }])).result, 'SUCCESS')
    const reads = { body: Array(12).fill({ topic: 'record', action: 'read', recordName: name }) }
    const answers = await Promise.all([post(server, reads), post(server.secured, reads)])
    for (const { json } of answers) for (const entry of json.body) assert.deepEqual(entry.data, data)
    const socket = await talk(t, server)
    socket.write(posted(reads) + posted(reads))
    const [one, two] = await socket.answers(2, { deadline: 20000 })
    assert.ok(one.body.length > 9_000_000 && two.body.length === one.body.length)
  })

  test('an answer above the limit is cut down to errors', async (t) => {
    const own = await serverFor(t, { limits: { outboxBytesMax: 100_000, outboxHighWaterBytes: 50_000 } })
    const name = unique('cut')
    await batch(own, [{ topic: 'record', action: 'write', recordName: name, data: { text: 'x'.repeat(30_000) } }])
    const { result, body } = await batch(own, Array(6).fill({ topic: 'record', action: 'read', recordName: name }))
    assert.equal(result, 'PARTIAL_SUCCESS')
    assert.deepEqual([body[0].success, body[5].success, body[5].errorEvent], [true, false, 'HTTP_RESPONSE_TOO_LARGE'])
  })

  test('a flood of requests without reading an answer, and others are served', async (t) => {
    const socket = await talk(t, server)
    socket.pause()
    const request = Buffer.from(HEALTH.repeat(1000))
    for (let round = 0; round < 20; round++) socket.write(request)
    for (let round = 0; round < 10; round++) assert.equal((await batch(server, emit(1).body)).result, 'SUCCESS')
    socket.resume()
    const answers = await socket.answers(20_000, { deadline: 30_000 })
    assert.ok(answers.every(({ status }) => status === 200))
  })
})

describe('too slow, or no HTTP', { skip }, () => {
  test('a head or a body that does not come ends in 408', async (t) => {
    const own = await serverFor(t, { httpEndpoint: { requestTimeout: 200 } })
    const body = await talk(t, own)
    body.write(head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': 100 }) + '{')
    assert.equal((await body.answers(1))[0].status, 408)
    await within('the close', body.gone)
    const later = await talk(t, own)
    later.write(HEALTH)
    assert.equal((await later.answers(1))[0].status, 200)
    later.write('GET /hea')
    assert.equal((await later.answers(1))[0].status, 408)
    await within('the close', later.gone)
  })

  test('a body that drips in is late all the same', async (t) => {
    const own = await serverFor(t, { httpEndpoint: { requestTimeout: 300 } })
    const socket = await talk(t, own)
    socket.write(head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': 10_000 }))
    const drip = setInterval(() => socket.write(' '), 20)
    t.after(() => clearInterval(drip))
    assert.equal((await socket.answers(1))[0].status, 408)
  })

  for (const [what, bytes] of [
    ['a broken request line', `${HEALTH}nonsense\r\n\r\n`],
    ['two lengths', head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': 5, 'content-length': 6 }) + 'hello'],
    ['a length that is none', head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': 'x' })],
    ['a chunk that is none', head('POST', '/api', { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }) + 'zz\r\n']
  ]) {
    test(`${what} is answered with 400 and closed`, async (t) => {
      const socket = await talk(t, server)
      socket.write(bytes)
      const answers = await socket.answers(bytes.startsWith(HEALTH) ? 2 : 1)
      assert.equal(answers.at(-1).status, 400)
      await within('the close', socket.gone)
    })
  }

  // What one server takes for one request and another for two is how requests are smuggled past a proxy.
  const json = { 'Content-Type': 'application/json' }
  for (const [what, bytes, status] of [
    ['no host', 'GET /health-check HTTP/1.1\r\n\r\n', 400],
    ['two hosts', 'GET /health-check HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['a host that is none', 'GET /health-check HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['a coding for the way that is not known', head('POST', '/api', { ...json, 'Transfer-Encoding': 'gzip, chunked' }) + chunked('{}'), 501],
    ['a length beside chunks', head('POST', '/api', { ...json, 'Content-Length': 9, 'Transfer-Encoding': 'chunked' }) + chunked(JSON.stringify(emit(1))), 200],
    ['a header folded over two lines', 'GET /health-check HTTP/1.1\r\nHost: a\r\nFolded: b\r\n c\r\n\r\n', 400],
    ['a space before a colon', 'GET /health-check HTTP/1.1\r\nHost : a\r\n\r\n', 400],
    ['chunks in HTTP/1.0', head('POST', '/api', { ...json, 'Transfer-Encoding': 'chunked' }).replace('HTTP/1.1', 'HTTP/1.0') + chunked('{}'), 400]
  ]) {
    test(`${what}: ${status}, and nothing behind it is heard`, async (t) => {
      for (const before of ['', HEALTH]) {
        const socket = await talk(t, server)
        socket.write(before + bytes + HEALTH)
        await within('the close', socket.gone)
        const answers = await socket.answers(before ? 2 : 1)
        assert.equal(answers.at(-1).status, status)
        assert.equal(socket.rest(), '')
      }
    })
  }

  test('a request that is broken off leaves nothing behind', async (t) => {
    const own = await serverFor(t)
    for (const part of [posted(emit(1)).slice(0, 40), posted(emit(1)).slice(0, -5), posted(emit(1))]) {
      for (let round = 0; round < 20; round++) {
        const socket = await talk(t, own)
        await new Promise((resolve) => socket.write(part, resolve))
        socket.destroy()
      }
    }
    await own.atRest()
  })
})

describe('programs people have', { skip }, () => {
  const run = promisify(execFile)
  const curl = (...words) => run('curl', ['-sS', ...words]).then(({ stdout }) => stdout)
  const has = spawnSync('curl', ['--version']).status === 0

  test('curl, plain and over TLS', { skip: !has && 'curl is not installed' }, async () => {
    const body = JSON.stringify(emit('curl'))
    const json = ['-H', 'Content-Type: application/json', '-d', body]
    assert.equal(await curl(...json, `http://${server.url}/api`), SUCCESS)
    assert.equal(await curl('--cacert', server.secured.authority, ...json, `https://${server.secured.url}/api`), SUCCESS)
    assert.equal(await curl('-H', 'Transfer-Encoding: chunked', ...json, `http://${server.url}/api`), SUCCESS)
    assert.equal(await curl('-H', 'Expect: 100-continue', ...json, `http://${server.url}/api`), SUCCESS)
    assert.equal(await curl(...json, `http://${server.url}/api`, '--next', '-sS', ...json, `http://${server.url}/api`), SUCCESS + SUCCESS)
    assert.match(await curl('-I', `http://${server.url}/health-check`), /^HTTP\/1\.1 200 OK/)
    assert.match(await curl('-0', '-i', `http://${server.url}/health-check`), /^HTTP\/1\.. 200 OK/)
  })

  test('an agent of Node that keeps its connections', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 3 })
    const ask = (n) => new Promise((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port: server.port, path: '/api', method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (response) => {
        let text = ''
        response.on('data', (chunk) => { text += chunk })
        response.on('end', () => resolve([response.statusCode, text, request.socket]))
      })
      request.on('error', reject)
      request.end(JSON.stringify(emit(n)))
    })
    const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => ask(n)))
    agent.destroy()
    for (const [status, text] of answers) assert.deepEqual([status, text], [200, SUCCESS])
    assert.ok(new Set(answers.map(([, , socket]) => socket)).size <= 3)
  })

  test('over TLS, byte by byte and many at once', async (t) => {
    const socket = tls.connect({ host: 'localhost', port: server.secured.port, ca: server.secured.ca })
    t.after(() => socket.destroy())
    await once(socket, 'secureConnect')
    let heard = ''
    socket.on('data', (chunk) => { heard += chunk })
    for (const byte of posted(emit(1))) socket.write(byte)
    await until('the answer', () => heard.endsWith(SUCCESS))
    heard = ''
    socket.write(posted(emit(1)).repeat(30))
    await until('all answers', () => heard.split(SUCCESS).length === 31)
    const many = await Promise.all(Array.from({ length: 50 }, (_, n) => post(server.secured, emit(n))))
    assert.ok(many.every(({ text }) => text === SUCCESS))
  })
})
