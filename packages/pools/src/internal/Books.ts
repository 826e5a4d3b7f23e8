/**
 * The books of the memory that all pools share. A worker's bytes are booked before it loads and given back after it has
 * really gone, so that the sum holds also while one leaves and the next waits for its place. All steps are synchronous:
 * there is no moment between a look and a booking in which somebody else could book.
 *
 * A pool without workers may ask everybody who is idle to leave, least recently used first, and stands in line until
 * there is room; nobody else gets memory past it. A pool that grows takes what is free, or what other pools keep beyond
 * their last worker. Busy workers are never asked.
 */

/** A pool, as the books see it. */
export interface Tenant {
  readonly name: string
}

/** `first`: the pool has no worker, and waits. `spare`: a second one beside the first, if there is room. `growth`: all are busy. */
export type Need = "first" | "spare" | "growth"

/** Memory that is booked for one worker. */
export class Lease {
  readonly tenant: Tenant
  bytes: number
  /** Monotonic milliseconds since when it is idle; `undefined` while it loads or works. */
  idleSince: number | undefined = undefined
  /** It was asked to leave, or leaves by itself: its memory is still booked. */
  leaving = false
  /** Asks the worker to leave; it calls `release` when it has. */
  readonly evict: () => void

  constructor(tenant: Tenant, bytes: number, evict: () => void) {
    this.tenant = tenant
    this.bytes = bytes
    this.evict = evict
  }
}

interface Waiting {
  readonly lease: Lease
  readonly need: Need
  readonly granted: () => void
}

/** The answer to a request for memory. `waiting` may be followed by `granted`, unless it is withdrawn. */
export type Answer = "granted" | "waiting" | "refused" | "impossible"

export class Books {
  readonly limit: number
  readonly #leases = new Set<Lease>()
  readonly #line: Array<Waiting> = []

  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes that are booked. */
  get used(): number {
    let sum = 0
    for (const { bytes } of this.#leases) sum += bytes
    return sum
  }

  /** How many pools stand in line. */
  get waiting(): number {
    return this.#line.length
  }

  /** Books memory for `lease`. `granted` is called after an answer of `waiting` only, at times before this returns it. */
  ask(lease: Lease, need: Need, granted: () => void): Answer {
    if (lease.bytes > this.limit) return "impossible"
    if (this.#line.length === 0 && this.#fits(lease)) {
      this.#leases.add(lease)
      return "granted"
    }
    if (need === "spare") return "refused"
    if (need === "growth" && (this.#line.length > 0 || this.#victims(lease, need) === undefined)) return "refused"
    this.#line.push({ lease, need, granted })
    this.settle()
    return "waiting"
  }

  /** Takes a request back that still waits. */
  withdraw(lease: Lease): void {
    const at = this.#line.findIndex((waiting) => waiting.lease === lease)
    if (at === -1) return
    this.#line.splice(at, 1)
    this.settle()
  }

  /** The worker has gone: its memory is free. */
  release(lease: Lease): void {
    if (this.#leases.delete(lease)) this.settle()
  }

  /** What a worker really takes. False when the sum is over the limit even after everybody idle is asked to leave. */
  resize(lease: Lease, bytes: number): boolean {
    lease.bytes = bytes
    const victims = this.#choose(this.used - this.#leavingBytes() - this.limit, (other) => other !== lease)
    if (victims !== undefined) evict(victims)
    this.settle()
    return victims !== undefined
  }

  /** Somebody became idle, left or shrank: whoever is first in line may have his turn. */
  settle(): void {
    for (let head = this.#line[0]; head !== undefined; head = this.#line[0]) {
      if (!this.#fits(head.lease)) return evict(this.#victims(head.lease, head.need) ?? [])
      this.#line.shift()
      this.#leases.add(head.lease)
      head.granted()
    }
  }

  #fits(lease: Lease): boolean {
    return this.used + lease.bytes <= this.limit
  }

  #leavingBytes(): number {
    let sum = 0
    for (const { bytes, leaving } of this.#leases) if (leaving) sum += bytes
    return sum
  }

  /** Who has to leave for `lease`; `undefined` when there would not be room even then. */
  #victims(lease: Lease, need: Need): ReadonlyArray<Lease> | undefined {
    const missing = this.used + lease.bytes - this.limit - this.#leavingBytes()
    if (need === "first") return this.#choose(missing, () => true)
    const left = new Map<Tenant, number>()
    for (const { leaving, tenant } of this.#leases) if (!leaving) left.set(tenant, (left.get(tenant) ?? 0) + 1)
    return this.#choose(missing, ({ tenant }) => {
      const count = left.get(tenant) ?? 0
      if (tenant === lease.tenant || count < 2) return false
      left.set(tenant, count - 1)
      return true
    })
  }

  /** The least recently used idle ones that have `missing` bytes together; `undefined` when there are not so many. */
  #choose(missing: number, allowed: (other: Lease) => boolean): ReadonlyArray<Lease> | undefined {
    const idle = [...this.#leases].filter(({ idleSince, leaving }) => idleSince !== undefined && !leaving)
    idle.sort((one, other) => (one.idleSince ?? 0) - (other.idleSince ?? 0))
    const chosen: Array<Lease> = []
    let left = missing
    for (const lease of idle) {
      if (left <= 0) break
      if (!allowed(lease)) continue
      chosen.push(lease)
      left -= lease.bytes
    }
    return left <= 0 ? chosen : undefined
  }
}

/** All are marked before the first is asked: one that leaves at once brings us back here in the middle. */
const evict = (leases: ReadonlyArray<Lease>): void => {
  for (const lease of leases) lease.leaving = true
  for (const lease of leases) lease.evict()
}
