// A network of a test's own: a namespace for every machine that it plays, and a router between them, on which packets from
// one to another can be dropped without a word, in one direction or both. Needs root.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const PREFIX = 'deepstream-'
let networks = 0

async function ip (...words) {
  return (await exec('ip', words)).stdout
}

export class Network {
  /** One with machines of these names. Nothing that it needs is outside of its namespaces, so any number may be there at once. */
  static async create (names) {
    if (process.getuid() !== 0) throw new Error('only root makes network namespaces: this test needs to be run by root')
    await sweep()
    const network = new Network()
    networks += 1
    network.names = names
    network.prefix = `${PREFIX}${process.pid}-${networks}-`
    network.router = `${network.prefix}router`
    network.cuts = []
    try {
      await network.build()
    } catch (error) {
      await network.discard()
      throw error
    }
    return network
  }

  async build () {
    await ip('netns', 'add', this.router)
    // Packets that answer nobody are none of the router's business: one way is cut and the other is not.
    const settings = ['ip_forward', 'conf/all/rp_filter', 'conf/default/rp_filter']
    for (const [at, name] of settings.entries()) await this.write(`net/ipv4/${name}`, at === 0 ? 1 : 0)
    for (const [number, name] of this.names.entries()) {
      const namespace = this.namespace(name)
      await ip('netns', 'add', namespace)
      await ip('-n', namespace, 'link', 'set', 'lo', 'up')
      await ip('-n', this.router, 'link', 'add', `to${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
      await ip('-n', this.router, 'addr', 'add', `${subnet(number)}.1/30`, 'dev', `to${number}`)
      await ip('-n', namespace, 'addr', 'add', `${this.address(name)}/30`, 'dev', 'eth0')
      await ip('-n', this.router, 'link', 'set', `to${number}`, 'up')
      await ip('-n', namespace, 'link', 'set', 'eth0', 'up')
      await ip('-n', namespace, 'route', 'add', 'default', 'via', `${subnet(number)}.1`)
    }
  }

  async write (setting, value) {
    await exec('ip', ['netns', 'exec', this.router, 'sh', '-c', `echo ${value} >/proc/sys/${setting}`])
  }

  number (name) {
    const number = this.names.indexOf(name)
    if (number < 0) throw new Error(`there is no machine ${name} in this network`)
    return number
  }

  address (name) {
    return `${subnet(this.number(name))}.2`
  }

  namespace (name) {
    this.number(name)
    return this.prefix + name
  }

  /** What is to stand before a command that this machine is to run. */
  inside (name) {
    return ['ip', 'netns', 'exec', this.namespace(name)]
  }

  /** Nothing that the one sends reaches the other any more; neither is told. What the other sends still arrives. */
  async cut (from, to) {
    if (this.cuts.some((cut) => cut.from === from && cut.to === to)) return
    await ip('-n', this.router, 'rule', 'add', ...this.rule(from, to))
    this.cuts.push({ from, to })
  }

  async cutBoth (one, other) {
    await this.cut(one, other)
    await this.cut(other, one)
  }

  /** Takes back every cut. */
  async heal () {
    for (const { from, to } of this.cuts.splice(0)) await ip('-n', this.router, 'rule', 'del', ...this.rule(from, to))
  }

  rule (from, to) {
    return ['from', this.address(from), 'to', this.address(to), 'blackhole']
  }

  /** Pulls the cable of a machine. */
  async unplug (name) {
    await ip('-n', this.router, 'link', 'set', `to${this.number(name)}`, 'down')
  }

  async plug (name) {
    await ip('-n', this.router, 'link', 'set', `to${this.number(name)}`, 'up')
  }

  /** Removes it. What still runs on its machines loses its network. */
  async discard () {
    for (const name of await namespaces(this.prefix)) await ip('netns', 'del', name)
  }
}

function subnet (number) {
  return `10.213.${number}`
}

async function namespaces (prefix) {
  const lines = (await ip('netns', 'list')).split('\n')
  return lines.map((line) => line.split(' ')[0]).filter((name) => name.startsWith(prefix))
}

/** Removes what processes that were killed have left. */
async function sweep () {
  for (const name of await namespaces(PREFIX)) {
    const owner = /^\d+/.exec(name.slice(PREFIX.length))?.[0]
    // Two may sweep at once.
    if (owner && !existsSync(`/proc/${owner}`)) await ip('netns', 'del', name).catch(() => {})
  }
}
