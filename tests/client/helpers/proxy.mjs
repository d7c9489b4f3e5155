// A TCP proxy between a client and the server: what the server says can be held back, and the line
// can be cut, so that a test decides what a client knew when it wrote.

import { once } from 'node:events'
import net from 'node:net'
import { atEnd } from './until.mjs'

export class Proxy {
  constructor (target) {
    this.target = target
    this.held = false
    this.shut = false
    this.knocking = []
    this.lines = new Set()
    this.listener = net.createServer((client) => this.#accept(client))
  }

  static async start (t, server) {
    const proxy = new Proxy(server.port)
    proxy.listener.listen(0, '127.0.0.1')
    await once(proxy.listener, 'listening')
    proxy.port = proxy.listener.address().port
    proxy.url = `127.0.0.1:${proxy.port}`
    atEnd(t, () => {
      proxy.cut()
      for (const client of proxy.knocking) client.destroy()
      proxy.listener.close()
    })
    return proxy
  }

  #accept (client) {
    if (this.shut) {
      client.on('error', () => {})
      this.knocking.push(client)
      return
    }
    const server = net.connect(this.target, '127.0.0.1')
    const line = { client, server, waiting: [] }
    this.lines.add(line)
    server.on('data', (chunk) => this.held ? line.waiting.push(chunk) : client.write(chunk))
    client.on('data', (chunk) => server.write(chunk))
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on('error', () => {})
      from.on('close', () => {
        to.destroy()
        this.lines.delete(line)
      })
    }
  }

  /** From now on nothing the server says gets through. */
  hold () {
    this.held = true
  }

  /** What was held goes through, and everything after it. */
  release () {
    this.held = false
    for (const line of this.lines) for (const chunk of line.waiting.splice(0)) line.client.write(chunk)
  }

  /** Breaks every line without a goodbye. */
  cut () {
    for (const line of this.lines) {
      line.client.destroy()
      line.server.destroy()
    }
  }

  /** Breaks every line, and whoever comes back waits at the door until it is opened. */
  lock () {
    this.shut = true
    this.cut()
  }

  /** Lets in who waits, and whoever comes from now on. */
  unlock () {
    this.shut = false
    for (const client of this.knocking.splice(0)) this.#accept(client)
  }
}
