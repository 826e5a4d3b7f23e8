/**
 * Where the running gateway can be asked: a file in the state directory, written
 * once it listens and removed at its end. A file that a crash left behind is
 * harmless, because whoever reads it finds nobody there and looks at the store.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { rmSync } from "node:fs"
import { fileIn, readJson, writeWhole } from "../StateFolder.ts"

/** A running gateway. */
export const Address = Schema.Struct({
  url: Schema.String.check(Schema.isPattern(/^http:\/\/[^/]+$/)),
  pid: Schema.Int,
  epoch: Schema.Int
})
/** A running gateway. */
export type Address = typeof Address.Type

const decode = Schema.decodeUnknownOption(Address)

/** The gateway that said it runs; undefined when none did. It may be gone. */
export const read = (stateDirectory: string): Address | undefined =>
  Option.getOrUndefined(decode(readJson(fileIn(stateDirectory, "address"))))

/** Says where this gateway is. */
export const write = (stateDirectory: string, address: Address): void =>
  writeWhole(fileIn(stateDirectory, "address"), `${JSON.stringify(address)}\n`)

/** Takes it back, unless another gateway has written its own meanwhile. */
export const remove = (stateDirectory: string, pid: number): void => {
  if (read(stateDirectory)?.pid === pid) rmSync(fileIn(stateDirectory, "address"), { force: true })
}
