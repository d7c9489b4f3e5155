// The network that tests of several machines run on: what is cut is lost in that direction and no other, without a word,
// and arrives again once it is healed.

import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { before, after, beforeEach, describe, test } from 'node:test'
import { Engine } from '../helpers/engines.mjs'
import { Network } from '../helpers/network.mjs'
import { until, within } from '../helpers/until.mjs'

const run = promisify(execFile)
const PORT = 7000
/** Sends what it is told to, and prints what it receives. */
const POST = `
  const socket = require('node:dgram').createSocket('udp4').bind(${PORT}, () => console.log('ready'))
  socket.on('message', (text) => console.log(String(text)))
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const [address, text] = line.split(' ')
    socket.send(text, ${PORT}, address, (error) => error && console.log(error.code))
  }).on('close', () => process.exit())`

/** A machine that sends and receives datagrams. */
class Post {
  static async open (network, name) {
    const post = new Post()
    post.network = network
    const words = [...network.inside(name), process.execPath, '-e', POST]
    post.child = spawn(words[0], words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
    post.received = []
    createInterface({ input: post.child.stdout }).on('line', (line) => post.received.push(line))
    await post.untilReceived('ready')
    return post
  }

  send (to, text) { this.child.stdin.write(`${this.network.address(to)} ${text}\n`) }

  async untilReceived (text) { await until(`${text} arrives`, () => this.received.includes(text)) }

  async close () {
    this.child.stdin.end()
    await once(this.child, 'close')
  }
}

describe('a network', () => {
  let network
  const posts = {}
  before(async () => {
    network = await Network.create(['a', 'b', 'c'])
    for (const name of network.names) posts[name] = await Post.open(network, name)
  })
  after(async () => {
    for (const post of Object.values(posts)) await post.close()
    await network?.discard()
    assert.doesNotMatch(String(execFileSync('ip', ['netns', 'list'])), new RegExp(network.prefix))
  })
  beforeEach(() => network.heal())

  let letters = 0
  async function arrives (from, to) {
    const text = `${from}${to}${++letters}`
    posts[from].send(to, text)
    await posts[to].untilReceived(text)
  }
  /** Sends something that must not arrive, and tells what it was. */
  function lose (from, to) {
    const text = `${from}${to}${++letters}-lost`
    posts[from].send(to, text)
    return () => assert.ok(!posts[to].received.includes(text), `${text} arrived`)
  }
  /** What is sent afterwards overtakes nothing: once it has arrived, what has not never will. */
  async function allArrive () {
    for (const from of network.names) for (const to of network.names.filter((name) => name !== from)) await arrives(from, to)
  }

  test('carries everything both ways', allArrive)

  test('loses what is cut, in that direction and no other', async () => {
    await network.cut('a', 'b')
    const lost = lose('a', 'b')
    await arrives('b', 'a')
    await arrives('a', 'c')
    // It has left the machine before what was sent after it arrived.
    await network.heal()
    await allArrive()
    lost()
    assert.equal(posts.a.received.some((line) => line.startsWith('E')), false, 'the sender is told nothing')
  })

  test('loses both ways what is cut both ways', async () => {
    await network.cutBoth('a', 'b')
    const lost = [lose('a', 'b'), lose('b', 'a')]
    await arrives('a', 'c')
    await arrives('b', 'c')
    await network.heal()
    await allArrive()
    for (const check of lost) check()
  })

  test('keeps a machine without its cable apart', async () => {
    await network.unplug('c')
    const lost = lose('a', 'c')
    await arrives('a', 'b')
    await network.plug('c')
    await allArrive()
    lost()
  })

  test('has engines on machines of their own, whose connections outlive a cut', async () => {
    const redis = await Engine.start('redis', { namespace: network.namespace('c'), address: network.address('c') })
    try {
      const [command, ...words] = [...network.inside('a'), 'redis-cli', '-h', redis.address, '-p', String(redis.port)]
      const client = spawn(command, words, { stdio: ['pipe', 'pipe', 'inherit'] })
      const lines = []
      createInterface({ input: client.stdout }).on('line', (line) => lines.push(line))
      client.stdin.write('SET key 1\n')
      await until('it is answered', () => lines.length === 1)
      await network.cut('c', 'a')
      client.stdin.write('INCR key\n')
      const [on, ...look] = [...network.inside('b'), 'redis-cli', '-h', redis.address, '-p', String(redis.port), 'GET', 'key']
      // Not while everything stands still: what came from the machine that is cut off would be seen.
      await until('the half that is not cut carries it', async () => (await run(on, look)).stdout.trim() === '2')
      assert.equal(lines.length, 1)
      await network.heal()
      await until('the answer arrives', () => lines.length === 2)
      assert.equal(lines[1], '2')
      client.stdin.end()
      await within('the end of the client', once(client, 'close'))
    } finally {
      await redis.discard()
    }
  })
})
