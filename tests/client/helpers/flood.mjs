// Records that are written as fast as they are acknowledged, and what was.

import { RECORD } from './wire.mjs'

/** Each record is written again as soon as its last write was acknowledged. */
export class Flood {
  /** Begins at once. */
  constructor (raw, names) {
    this.raw = raw
    this.sent = 0
    /** Of each record the highest number that was acknowledged. */
    this.acked = new Map()
    const again = new Set(names)
    raw.socket.on('message', () => {
      for (const message of raw.received.splice(0)) {
        if (message.action !== RECORD.WRITE_ACKNOWLEDGEMENT || message.isError) continue
        const [name, n] = message.correlationId.split(' ')
        this.acked.set(name, Math.max(this.acked.get(name) ?? -1, Number(n)))
        if (again.has(name)) this.write(name)
      }
    })
    names.forEach((name) => this.write(name))
  }

  /** Writes a record once, with a number of its own. */
  write (name) {
    const n = this.sent++
    this.raw.record(RECORD.CREATEANDUPDATE, { name, version: -1, data: `{"n":${n}}`, isWriteAck: true, correlationId: `${name} ${n}` })
  }
}
