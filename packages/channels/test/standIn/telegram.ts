/**
 * A stand-in of Telegram on this machine: the Bot API over HTTP with its queue of
 * updates, its chats and its refusals, receipts instead of sleeps. It outlives the
 * gateways of a test. Each request's fate can be scripted by method: it is dropped
 * before it takes effect, its answer is lost, it waits, it is refused.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import {
  type Call,
  type Fate,
  type Hook,
  type Json,
  Refusal,
  type Shown,
  type Witness,
  World
} from "./telegramWorld.ts"

export type { Call, Fate, Hook, Json, Shown, Witness } from "./telegramWorld.ts"

/** A person's message beyond its text. */
export type More = Json & { readonly from?: Json; readonly chat?: Json }

/** Somebody, as Telegram describes them. */
export const person = (id: number, name = `Person ${id}`): Json => ({ id, is_bot: false, first_name: name })

/** The running stand-in. */
export interface StandIn {
  readonly url: string
  readonly token: string
  /** Every request so far, as it was begun. */
  readonly calls: ReadonlyArray<Call>
  /** The n-th request of a method (from 1), once it has been begun. */
  readonly called: (method: string, n?: number) => Effect.Effect<Call>
  /** Completes when what is looked for is so; looked at after each request and each effect. */
  readonly until: (is: () => boolean) => Effect.Effect<void>
  /** Somebody writes in their own chat with the bot, or in another one. Returns the number of the update. */
  readonly say: (chat: number, text: string, more?: More) => number
  /** Somebody presses a button. */
  readonly press: (chat: number, message: number, data: string, from?: number) => number
  /** Any update. */
  readonly push: (update: Json) => number
  /** The same update again, as Telegram does when its acknowledgement was lost. */
  readonly again: (number: number) => void
  /** Completes when the update has been acknowledged. */
  readonly confirmed: (number: number) => Effect.Effect<void>
  /** Updates that have not been acknowledged. */
  readonly unconfirmed: () => ReadonlyArray<number>
  /** The oldest of them, once there is one: what is delivered to a webhook next. */
  readonly next: Effect.Effect<Json & { readonly update_id: number }>
  /** A webhook has taken everything up to this one. */
  readonly confirm: (number: number) => void
  /** The webhook, while one is set. */
  readonly hook: () => Hook | undefined
  /** The bot's messages in a chat, oldest first. */
  readonly shown: (chat: number) => ReadonlyArray<Shown>
  /** Their texts. */
  readonly texts: (chat: number) => ReadonlyArray<string>
  /** Somebody deletes a message of the bot's. */
  readonly remove: (chat: number, message: number) => void
  /** Fates of the next requests of a method, in order. */
  readonly script: (method: string, ...fates: ReadonlyArray<Fate>) => void
  /** The fate of every request of a method that has none of its own. */
  readonly otherwise: (method: string, fate: Fate | (() => Fate)) => void
  /** A file that can be fetched by its id. */
  readonly files: Map<string, { readonly bytes: Uint8Array; readonly path?: string }>
  /** The network goes, with every connection; and comes back. */
  readonly cut: Effect.Effect<void>
  readonly mend: Effect.Effect<void>
}

const write = (response: http.ServerResponse, result: unknown) => {
  const refused = result instanceof Refusal
  const body = refused
    ? {
        ok: false,
        error_code: result.code,
        description: result.description,
        ...(result.parameters === undefined ? {} : { parameters: result.parameters })
      }
    : { ok: true, result }
  response.writeHead(refused ? result.code : 200, { "content-type": "application/json" })
  response.end(JSON.stringify(body))
}

const follow = (world: World, call: Call, fate: Fate, response: http.ServerResponse): void => {
  if (typeof fate === "object" && "gate" in fate) {
    Effect.runFork(
      Effect.andThen(
        Deferred.await(fate.gate),
        Effect.sync(() => follow(world, call, fate.then ?? "answer", response))
      )
    )
    return
  }
  if (typeof fate === "object" && "refuse" in fate) {
    if (fate.refuse >= 500) world.witness?.lost(call)
    return write(response, new Refusal(fate.refuse, fate.description ?? `refused ${fate.refuse}`, fate.parameters))
  }
  if (fate === "drop" || fate === "silence") {
    world.witness?.lost(call)
    if (fate === "drop") response.destroy()
    return
  }
  if (call.method === "getUpdates") {
    if (fate === "answer" || typeof fate === "object") {
      return world.getUpdates(call.params, response, (result) => write(response, result))
    }
    // What was asked for is acknowledged, whatever becomes of the page.
    world.confirm(call.params)
    if (fate !== "hang") response.destroy()
    return
  }
  const { answered, result } = world.perform(call)
  const answer = () => {
    answered(!response.destroyed)
    write(response, result)
  }
  if (fate === "answer") answer()
  else if (typeof fate === "object") Effect.runFork(Effect.andThen(Deferred.await(fate.late), Effect.sync(answer)))
  else answered(false)
  if (fate === "lose-answer") response.destroy()
  else if (fate === "garbage") {
    response.writeHead(200, { "content-type": "text/html" })
    response.end("<html><body>Welcome to the hotel's network</body></html>")
  }
  world.changed()
}

/** The fields of a form; a file as its name and its text. */
const formOf = async (body: Buffer, type: string): Promise<Json> => {
  const form = await new Response(new Uint8Array(body), { headers: { "content-type": type } }).formData()
  const fields = await Promise.all(
    [...form].map(async ([name, value]): Promise<readonly [string, unknown]> =>
      typeof value === "string" ? [name, value] : [name, { name: value.name, text: await value.text() }]
    )
  )
  return Object.fromEntries(fields)
}

const read = async (request: http.IncomingMessage): Promise<Json> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  const type = request.headers["content-type"] ?? ""
  if (type.includes("json")) return JSON.parse(body.toString()) as Json
  return type.includes("form-data") ? formOf(body, type) : { raw: body.toString() }
}

const serving = (world: World, token: string) => {
  const sockets = new Set<Socket>()
  let whole = true
  const server = http.createServer((request, response) => {
    const path = request.url ?? ""
    const file = /^(?:\/[\w-]+)?\/file\/bot([^/]+)\/files\/(.+)$/.exec(path)
    if (file !== null) {
      const found = world.files.get(decodeURIComponent(file[2] ?? ""))
      world.calls.push({ method: "download", params: { file: file[2] } })
      const fate = world.fate("download")
      if (fate === "drop") return void response.destroy()
      if (fate === "silence") return
      response.writeHead(found === undefined || file[1] !== token ? 404 : 200)
      return void response.end(found?.bytes)
    }
    const [, from, given, method = ""] = /^(?:\/([\w-]+))?\/bot([^/]+)\/(\w+)$/.exec(path) ?? []
    const begin = async () => {
      const call = { method, params: await read(request), ...(from === undefined ? {} : { from }) }
      world.calls.push(call)
      const fate: Fate = given === token ? world.fate(method) : { refuse: 401, description: "Unauthorized" }
      world.changed()
      follow(world, call, fate, response)
    }
    // A request that breaks off in the middle never was one.
    begin().catch(() => response.destroy())
  })
  server.on("connection", (socket) => {
    if (!whole) return void socket.destroy()
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  return {
    server,
    cut: Effect.sync(() => {
      whole = false
      for (const socket of sockets) socket.destroy()
    }),
    mend: Effect.sync(() => void (whole = true))
  }
}

const listening = (server: http.Server) =>
  Effect.acquireRelease(
    Effect.callback<string>(
      (resume) =>
        void server.listen(0, "127.0.0.1", () =>
          resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
        )
    ),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** Starts the stand-in, for as long as the scope is open. */
export const standIn = (
  token = "4711:secret-of-the-bot",
  witness?: Witness
): Effect.Effect<StandIn, never, Scope.Scope> =>
  Effect.gen(function* () {
    const world = new World(witness)
    const { cut, mend, server } = serving(world, token)
    const url = yield* listening(server)
    const countOf = (method: string) => world.calls.filter((call) => call.method === method)
    return {
      url,
      token,
      calls: world.calls,
      called: (method, n = 1) =>
        Effect.map(
          world.until(() => countOf(method).length >= n),
          () => countOf(method)[n - 1] ?? { method, params: {} }
        ),
      until: (is) => world.until(is),
      say: (chat, text, more = {}) => {
        const { edited, ...fields } = more
        const message = {
          message_id: world.nextMessage(),
          date: 1_700_000_000,
          chat: { id: chat, type: chat > 0 ? "private" : "supergroup" },
          from: person(chat > 0 ? chat : 42),
          ...(text === "" ? {} : { text }),
          ...fields
        }
        return world.push(edited === true ? { edited_message: message } : { message })
      },
      press: (chat, message, data, from = chat) =>
        world.push({
          callback_query: {
            id: String(9000 + world.nextMessage()),
            from: person(from),
            data,
            message: { message_id: message, date: 1, chat: { id: chat, type: chat > 0 ? "private" : "supergroup" } }
          }
        }),
      push: (update) => world.push(update),
      again: (number) => world.again(number),
      confirmed: (number) => world.until(() => !world.updates.some(({ update_id }) => update_id === number)),
      unconfirmed: () => world.updates.map(({ update_id }) => update_id),
      next: Effect.suspend(function next(): Effect.Effect<Json & { readonly update_id: number }> {
        const [first] = world.updates
        if (first !== undefined) return Effect.succeed(first)
        return Effect.flatMap(
          world.until(() => world.updates.length > 0),
          next
        )
      }),
      confirm: (number) => world.confirm({ offset: number + 1 }),
      hook: () => world.hook,
      shown: (chat) => world.chat(chat).slice(),
      texts: (chat) => world.chat(chat).map(({ text }) => text),
      remove: (chat, message) => {
        const messages = world.chat(chat)
        messages.splice(
          messages.findIndex(({ id }) => id === message),
          1
        )
      },
      script: (method, ...fates) => void world.fates.set(method, [...(world.fates.get(method) ?? []), ...fates]),
      otherwise: (method, fate) => void world.always.set(method, fate),
      files: world.files,
      cut,
      mend
    }
  })
