// Writes ONNX models by hand, as far as the tests' tiny ones need it: a graph of a few nodes over tensors of constants, in
// protobuf's own encoding (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

const varint = (value: number): Array<number> => {
  const bytes: Array<number> = []
  for (let left = BigInt.asUintN(64, BigInt(value)); ; left >>= 7n) {
    if (left < 128n) return [...bytes, Number(left)]
    bytes.push(Number(left & 127n) | 128)
  }
}

type Field = ReadonlyArray<number>

const number = (field: number, value: number): Field => [...varint(field << 3), ...varint(value)]

const bytes = (field: number, value: ArrayLike<number>): Field => [
  ...varint((field << 3) | 2),
  ...varint(value.length),
  ...Array.from(value)
]

const text = (field: number, value: string): Field => bytes(field, Buffer.from(value, "utf8"))

const inside = (field: number, ...fields: ReadonlyArray<Field>): Field => bytes(field, fields.flat())

export type Type = "float" | "int64"

const typeNumber = (type: Type): number => (type === "float" ? 1 : 7)

/** A value that goes in or comes out; a dimension by name may have any size. */
export interface Value {
  readonly name: string
  readonly type: Type
  readonly dims: ReadonlyArray<number | string>
}

export interface Constant {
  readonly name: string
  readonly type: Type
  readonly dims: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
}

export interface Node {
  readonly op: string
  readonly inputs: ReadonlyArray<string>
  readonly output: string
  readonly attributes?: Readonly<Record<string, number | ReadonlyArray<number>>>
}

const valueInfo = (field: number, { dims, name, type }: Value): Field => {
  const shape = dims.map((dim) => inside(1, typeof dim === "number" ? number(1, dim) : text(2, dim)))
  return inside(field, text(1, name), inside(2, inside(1, number(1, typeNumber(type)), inside(2, ...shape))))
}

const initializer = ({ dims, name, type, values }: Constant): Field => {
  const raw = type === "float" ? new Float32Array(values) : new BigInt64Array(values.map(BigInt))
  const data = new Uint8Array(raw.buffer)
  return inside(5, ...dims.map((dim) => number(1, dim)), number(2, typeNumber(type)), text(8, name), bytes(9, data))
}

const nodeOf = ({ attributes = {}, inputs, op, output }: Node): Field =>
  inside(
    1,
    ...inputs.map((name) => text(1, name)),
    text(2, output),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) =>
      typeof value === "number"
        ? inside(5, text(1, name), number(3, value), number(20, 2))
        : inside(5, text(1, name), ...value.map((one) => number(8, one)), number(20, 7))
    )
  )

/** The file of a model. */
export const model = (graph: {
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  readonly constants: ReadonlyArray<Constant>
  readonly nodes: ReadonlyArray<Node>
}): Uint8Array =>
  Uint8Array.from([
    ...number(1, 8),
    ...inside(
      7,
      ...graph.nodes.map(nodeOf),
      text(2, "tiny"),
      ...graph.constants.map(initializer),
      ...graph.inputs.map((value) => valueInfo(11, value)),
      ...graph.outputs.map((value) => valueInfo(12, value))
    ),
    ...inside(8, text(1, ""), number(2, 17))
  ])
