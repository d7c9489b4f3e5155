// Ports for servers. Many test processes run at once, and a port that was free a moment ago is anybody's
// by the time a server binds it. So a port is taken from below those that the kernel hands out by itself,
// and its UDP namesake is bound for as long as this process lives: the reservation among those who choose
// ports this way, and gone with the process however it ends.

import dgram from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'

const HOST = '127.0.0.1'
/** Above 10080, the last of the ports that `fetch` refuses to speak to. */
const FIRST = 10100
const END = firstOfTheKernel()
const reserved = []

let next = FIRST + Math.floor(Math.random() * (END - FIRST))

/** A port for one server that no process but this one will use, and that is never given again. */
export async function freePort () {
  for (let tries = FIRST; tries < END; tries += 1) {
    const port = next
    next = port + 1 < END ? port + 1 : FIRST
    const reservation = await reserve(port)
    if (!reservation) continue
    reserved.push(reservation)
    if (await listens(port)) return port
  }
  throw new Error(`no port of ${FIRST} to ${END - 1} is free`)
}

/** Where the kernel's own choice begins: connections and listeners on port 0 are given these. */
function firstOfTheKernel () {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  return Math.max(Number(range.split(/\s+/)[0]), FIRST + 10000)
}

async function reserve (port) {
  const socket = dgram.createSocket('udp4')
  socket.unref()
  try {
    socket.bind({ port, address: HOST, exclusive: true })
    await once(socket, 'listening')
    return socket
  } catch {
    socket.close()
  }
}

/** Whether the port can be listened on: others choose theirs as they like. */
async function listens (port) {
  const listener = net.createServer()
  try {
    listener.listen({ port, host: HOST, exclusive: true })
    await once(listener, 'listening')
    return true
  } catch {
    return false
  } finally {
    await new Promise((resolve) => listener.close(resolve))
  }
}
