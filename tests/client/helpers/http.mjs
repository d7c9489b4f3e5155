// HTTP by hand: a batch with fetch, and requests as bytes on a socket.

import assert from 'node:assert/strict'
import { request } from 'node:https'
import { connect } from './tcp.mjs'
import { atEnd, until } from './until.mjs'

/** Posts this; answers status, headers, text and, if it is JSON, what it holds. */
export async function post (server, body, { path = '/api', headers = {} } = {}) {
  const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  const all = { 'content-type': 'application/json', ...headers }
  if (server.scheme === 'wss') return securely(server, text, path, all)
  const response = await fetch(`http://${server.url}${path}`, { method: 'POST', headers: all, body: text })
  return seen(response.status, response.headers, await response.text())
}

function securely (server, body, path, headers) {
  return new Promise((resolve, reject) => {
    const asked = request({ host: 'localhost', port: server.port, ca: server.ca, path, method: 'POST', headers }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => { text += chunk })
      response.on('end', () => resolve(seen(response.statusCode, new Headers(response.headers), text)))
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

function seen (status, headers, text) {
  const json = headers.get('content-type')?.startsWith('application/json') ? JSON.parse(text || 'null') : undefined
  return { status, headers, text, json }
}

/** Has a batch executed; answers `{ result, body }`. */
export async function batch (server, body, login = {}) {
  const answer = await post(server, { ...login, body })
  assert.equal(answer.status, 200, answer.text)
  return answer.json
}

/** A connection on which requests are written as bytes; `answers(n)` waits for so many and takes them. */
export async function talk (t, server) {
  const socket = await connect(server)
  atEnd(t, () => socket.destroy())
  let rest = ''
  const take = () => {
    rest += socket.heard.toString('latin1')
    socket.forget()
    const answers = []
    for (;;) {
      const end = rest.indexOf('\r\n\r\n')
      if (end < 0) return answers
      const head = rest.slice(0, end)
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0)
      const body = /^HTTP\/1\.[01] (1|204)/.test(head) ? '' : rest.slice(end + 4, end + 4 + length)
      if (body.length < length && !socket.headOnly) return answers
      rest = rest.slice(end + 4 + (socket.headOnly ? 0 : body.length))
      answers.push({ status: Number(head.slice(9, 12)), head, body })
    }
  }
  // What came behind the answers.
  socket.rest = () => rest + socket.heard.toString('latin1')
  const kept = []
  socket.answers = async (count, options) => {
    await until(`${count} answers came`, () => {
      kept.push(...take())
      return kept.length >= count || socket.destroyed
    }, options)
    assert.ok(kept.length >= count, `only ${kept.length} answers, then the end; rest ${JSON.stringify(rest)}`)
    return kept.splice(0, count)
  }
  return socket
}

export const chunked = (...pieces) => [...pieces.map((piece) => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`), '0\r\n\r\n'].join('')

export function head (method, path, headers = {}) {
  return [`${method} ${path} HTTP/1.1`, 'Host: x', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
}

export function posted (body, headers = {}) {
  const text = JSON.stringify(body)
  return head('POST', '/api', { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers }) + text
}
