// The binary protocol by hand: just enough protobuf to say anything to the server, well-formed or
// not, and to see exactly which fields an answer carried (an absent field stays absent).

export const TOPIC = {
  PARSER: 1, CONNECTION: 2, AUTH: 3, EVENT: 4, RECORD: 5, RPC: 6, PRESENCE: 7, MONITORING: 8,
  CLUSTER: 9, LOCK: 10, STATE_REGISTRY: 11, ERROR: 100
}

export const PARSER = { UNKNOWN_TOPIC: 1 }
export const CONNECTION = {
  PING: 2, PONG: 3, ACCEPT: 4, CHALLENGE: 5, REJECT: 6, REDIRECT: 7,
  AUTHENTICATION_TIMEOUT: 100, INVALID_MESSAGE: 101
}
export const AUTH = {
  REQUEST: 2, AUTH_SUCCESSFUL: 3, AUTH_UNSUCCESSFUL: 4, TOO_MANY_AUTH_ATTEMPTS: 100,
  INVALID_MESSAGE: 101, INVALID_MESSAGE_DATA: 102
}
export const EVENT = {
  EMIT: 2, SUBSCRIBE: 3, UNSUBSCRIBE: 4, LISTEN: 5, UNLISTEN: 6, LISTEN_ACCEPT: 7, LISTEN_REJECT: 8,
  PATTERN_FOUND: 11, PATTERN_REMOVED: 12, INVALID_LISTEN_REGEX: 100, LISTEN_RESPONSE_TIMEOUT: 101, MESSAGE_DENIED: 104,
  INVALID_MESSAGE_DATA: 105, MULTIPLE_SUBSCRIPTIONS: 106, NOT_SUBSCRIBED: 107
}
export const RECORD = {
  NOTIFY: 2, READ: 3, READ_RESPONSE: 4, HEAD: 5, HEAD_RESPONSE: 6, HEAD_BULK: 7,
  HEAD_RESPONSE_BULK: 8, DELETE: 9, DELETE_SUCCESS: 10, DELETE_BULK: 11, DELETED: 13,
  WRITE_ACKNOWLEDGEMENT: 14, CREATE: 15, CREATEANDUPDATE: 16, CREATEANDPATCH: 17, UPDATE: 18,
  PATCH: 19, ERASE: 20, SUBSCRIBEANDHEAD: 21, SUBSCRIBEANDREAD: 22, SUBSCRIBECREATEANDREAD: 23,
  SUBSCRIBECREATEANDUPDATE: 24, SUBSCRIBE: 25, UNSUBSCRIBE: 26, LISTEN: 27, UNLISTEN: 28,
  LISTEN_ACCEPT: 29, LISTEN_REJECT: 30, PATTERN_FOUND: 33, PATTERN_REMOVED: 34, INVALID_LISTEN_REGEX: 110,
  LISTEN_RESPONSE_TIMEOUT: 111, MESSAGE_DENIED: 115, PATCH_MULTI: 35,
  CACHE_RETRIEVAL_TIMEOUT: 100, STORAGE_RETRIEVAL_TIMEOUT: 101, VERSION_EXISTS: 102,
  RECORD_LOAD_ERROR: 103, RECORD_CREATE_ERROR: 104, RECORD_UPDATE_ERROR: 105,
  RECORD_DELETE_ERROR: 106, RECORD_NOT_FOUND: 107, INVALID_VERSION: 108,
  INVALID_PATCH_ON_HOTPATH: 109, RECORD_NOTIFY_ERROR: 113, INVALID_MESSAGE_DATA: 116,
  MULTIPLE_SUBSCRIPTIONS: 117, NOT_SUBSCRIBED: 118
}
export const RPC = {
  ERROR: 1, REQUEST: 2, ACCEPT: 4, RESPONSE: 5, REJECT: 6, REQUEST_ERROR: 7, PROVIDE: 8, UNPROVIDE: 9,
  NO_RPC_PROVIDER: 100, ACCEPT_TIMEOUT: 101, MULTIPLE_ACCEPT: 102, INVALID_RPC_CORRELATION_ID: 103,
  RESPONSE_TIMEOUT: 104, MESSAGE_DENIED: 107, INVALID_MESSAGE_DATA: 108, MULTIPLE_PROVIDERS: 109
}
export const PRESENCE = {
  QUERY_ALL: 2, QUERY_ALL_RESPONSE: 3, QUERY: 4, QUERY_RESPONSE: 5, PRESENCE_JOIN: 6,
  PRESENCE_JOIN_ALL: 7, PRESENCE_LEAVE: 8, PRESENCE_LEAVE_ALL: 9, SUBSCRIBE: 10, UNSUBSCRIBE: 11,
  SUBSCRIBE_ALL: 12, UNSUBSCRIBE_ALL: 13, INVALID_PRESENCE_USERS: 100, MULTIPLE_SUBSCRIPTIONS: 103
}

// Field number → [name, kind] per topic. Kinds: n number, b boolean, s string, S repeated string,
// m map of string to int32. The same logical field has another number in almost every topic.
const FIELDS = {
  [TOPIC.PARSER]: { 1: ['action', 'n'], 2: ['data', 's'], 8: ['originalTopic', 'n'], 9: ['originalAction', 'n'] },
  [TOPIC.CONNECTION]: {
    1: ['action', 'n'], 2: ['data', 's'], 3: ['isError', 'b'], 4: ['isAck', 'b'], 5: ['url', 's'],
    6: ['protocolVersion', 's'], 7: ['sdkVersion', 's'], 8: ['sdkType', 's']
  },
  [TOPIC.AUTH]: { 1: ['action', 'n'], 2: ['data', 's'], 3: ['isError', 'b'], 4: ['isAck', 'b'] },
  [TOPIC.EVENT]: {
    1: ['action', 'n'], 2: ['data', 's'], 3: ['correlationId', 's'], 4: ['isError', 'b'], 5: ['isAck', 'b'],
    6: ['name', 's'], 7: ['names', 'S'], 8: ['subscription', 's'], 10: ['originalTopic', 'n'], 11: ['originalAction', 'n']
  },
  [TOPIC.RECORD]: {
    1: ['action', 'n'], 2: ['data', 's'], 3: ['correlationId', 's'], 4: ['isError', 'b'], 5: ['isAck', 'b'],
    6: ['name', 's'], 7: ['names', 'S'], 8: ['pattern', 's'], 9: ['subscription', 's'], 10: ['originalAction', 'n'],
    11: ['isWriteAck', 'b'], 12: ['path', 's'], 13: ['version', 'n'], 14: ['versions', 'm']
  },
  [TOPIC.RPC]: {
    1: ['action', 'n'], 2: ['data', 's'], 3: ['correlationId', 's'], 4: ['isError', 'b'], 5: ['isAck', 'b'],
    6: ['names', 'S'], 7: ['name', 's'], 9: ['originalAction', 'n'], 10: ['requestorName', 's'], 11: ['requestorData', 's']
  },
  [TOPIC.PRESENCE]: {
    1: ['action', 'n'], 2: ['originalTopic', 'n'], 3: ['originalAction', 'n'], 4: ['data', 's'],
    5: ['correlationId', 's'], 6: ['isError', 'b'], 7: ['isAck', 'b'], 8: ['name', 's'], 9: ['names', 'S']
  }
}
const GENERIC = FIELDS[TOPIC.RECORD]

const numbers = Object.fromEntries(Object.entries(FIELDS).map(([topic, fields]) => [
  topic,
  Object.fromEntries(Object.entries(fields).map(([number, [name, kind]]) => [name, [Number(number), kind]]))
]))

export function varint (value) {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes = []
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 0x80 : low)
  } while (rest > 0n)
  return Buffer.from(bytes)
}

function delimited (number, bytes) {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

function field (number, kind, value) {
  switch (kind) {
    case 'n': return Buffer.concat([varint(number << 3), varint(value)])
    case 'b': return Buffer.concat([varint(number << 3), varint(value ? 1 : 0)])
    case 'S': return Buffer.concat(value.map((entry) => delimited(number, Buffer.from(entry))))
    case 'm': return Buffer.concat(Object.entries(value).map(([key, version]) => delimited(number, Buffer.concat([
      delimited(1, Buffer.from(key)), varint(2 << 3), varint(version)
    ]))))
    default: return delimited(number, Buffer.isBuffer(value) ? value : Buffer.from(value))
  }
}

/** One delimited message. `fields` in the order given; a Buffer as a string field goes out as it is. */
export function encode (topic, fields) {
  const table = numbers[topic] ?? numbers[TOPIC.RECORD]
  const body = Buffer.concat(Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => field(...table[name], value)))
  return envelope(topic, body)
}

/** A delimited message whose inner bytes are given, for saying what no encoder would say. */
export function envelope (topic, body) {
  const message = Buffer.concat([varint(2 << 3), varint(topic), delimited(3, body)])
  return Buffer.concat([varint(message.length), message])
}

class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.at = 0
  }

  get done () {
    return this.at >= this.bytes.length
  }

  varint () {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (this.done) throw new Error('varint cut short')
      const byte = this.bytes[this.at++]
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }

  slice () {
    const length = Number(this.varint())
    if (this.at + length > this.bytes.length) throw new Error('field longer than its message')
    const part = this.bytes.subarray(this.at, this.at + length)
    this.at += length
    return part
  }

  /** The next field: [number, value] with a bigint or the bytes of a delimited field. */
  field () {
    const tag = Number(this.varint())
    switch (tag & 7) {
      case 0: return [tag >> 3, this.varint()]
      case 2: return [tag >> 3, this.slice()]
      default: throw new Error(`wire type ${tag & 7}`)
    }
  }
}

const int32 = (value) => Number(BigInt.asIntN(32, value))

/** What one frame says. Only fields that were on the wire exist; trailing bytes are an error. */
export function decode (frame) {
  const outer = new Reader(frame)
  const inner = new Reader(outer.slice())
  if (!outer.done) throw new Error('more than one message in a frame')
  let topic = 0
  let body = Buffer.alloc(0)
  while (!inner.done) {
    const [number, value] = inner.field()
    if (number === 2) topic = Number(value)
    if (number === 3) body = value
  }
  const message = { topic }
  const table = FIELDS[topic] ?? GENERIC
  const reader = new Reader(body)
  while (!reader.done) {
    const [number, value] = reader.field()
    const [name, kind] = table[number] ?? [`field${number}`, typeof value === 'bigint' ? 'n' : 's']
    switch (kind) {
      case 'n': message[name] = int32(value); break
      case 'b': message[name] = value !== 0n; break
      case 'S': (message[name] ??= []).push(value.toString()); break
      case 'm': {
        const entry = new Reader(value)
        let key = ''
        let version = 0
        while (!entry.done) {
          const [part, content] = entry.field()
          if (part === 1) key = content.toString()
          else version = int32(content)
        }
        (message[name] ??= {})[key] = version
        break
      }
      default: message[name] = value.toString()
    }
  }
  return message
}
