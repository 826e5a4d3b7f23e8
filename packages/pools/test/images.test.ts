// What is taken for a picture before any worker sees it: its address, its first bytes and its end. Everything else is
// refused in a sentence that says what to send instead.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Capabilities from "../src/Capabilities.ts"
import { address, png } from "./onnx/png.ts"

const decode = Schema.decodeUnknownExit(Capabilities.Picture)

const problem = (text: string): string => {
  const exit = decode(text)
  return exit._tag === "Success" ? "none" : String(exit.cause)
}

const bytes = (...parts: ReadonlyArray<string | number>): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.alloc(part, 7))))

const as = (type: string, data: Buffer): string => `data:image/${type};base64,${data.toString("base64")}`

const picture = png(1, 2, 3)
const jpeg = bytes("\u00ff\u00d8\u00ff\u00e0", 900, "\u00ff\u00d9")
const webp = (said: number, length: number) =>
  bytes("RIFF", String.fromCharCode(said & 255, said >> 8, 0, 0), "WEBP", length)

describe("a picture", () => {
  it.effect.each([
    { name: "a PNG", text: address(picture) },
    { name: "a JPEG", text: as("jpeg", jpeg) },
    { name: "a GIF", text: as("gif", bytes("GIF89a", 20, ";\0")) },
    { name: "a WebP", text: as("webp", webp(104, 100)) },
    {
      name: "a JPEG with a film behind it",
      text: as("jpeg", bytes("\u00ff\u00d8\u00ff\u00e0", 70_000, "\u00ff\u00d9", 9000))
    },
    { name: "the address of one", text: "https://example.com/cat.png" }
  ])("P10: $name is one", ({ text }) => Effect.sync(() => assert.strictEqual(problem(text), "none")))

  it.effect.each([
    { name: "a file of this machine", text: "file:///etc/passwd", says: "is no address of an image" },
    { name: "no address", text: "cat.png", says: "is no address of an image" },
    { name: "an address without base64", text: "data:image/png,abc", says: "is no address of an image" },
    { name: "what is no base64", text: "data:image/png;base64,a*b=", says: "is no address of an image" },
    { name: "base64 that was cut", text: address(picture).slice(0, -3), says: "is no address of an image" },
    { name: "a text", text: "data:text/plain;base64,aGVsbG8=", says: "is no address of an image" },
    { name: "nothing", text: "data:image/png;base64,", says: "is no address of an image" },
    {
      name: "a page",
      text: as("png", bytes("<html>not found</html>")),
      says: "what is given as image/png is no image"
    },
    { name: "a drawing that may hold scripts", text: as("svg+xml", bytes("<svg/>")), says: "is no image" },
    { name: "half a PNG", text: address(picture.subarray(0, picture.length - 12)), says: "is cut off" },
    { name: "half a JPEG", text: as("jpeg", jpeg.subarray(0, 600)), says: "is cut off" },
    { name: "half a GIF", text: as("gif", bytes("GIF89a", 20)), says: "is cut off" },
    { name: "half a WebP", text: as("webp", webp(1104, 100)), says: "is cut off" },
    {
      name: "a JPEG of which only the preview is whole",
      text: as("jpeg", bytes("\u00ff\u00d8\u00ff\u00e0", 900, "\u00ff\u00d9", 9000)),
      says: "is cut off"
    }
  ])("P10: $name is none: $says", ({ says, text }) => Effect.sync(() => assert.include(problem(text), says)))
})
