/** Checks values by a JSON Schema: by the words of it that the schema of settings has. */

import { OptionError } from "./errors";
import { nearestName } from "./nearest";
import { show } from "./option_checks";
import { SETTINGS_ROOT, SETTINGS_SCHEMA } from "./settings_schema.generated";

/** A JSON Schema, as far as settings need it. */
export interface Schema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean;
  readonly items?: Schema;
  readonly uniqueItems?: boolean;
}

/**
 * Check settings by their schema, before the model is known.
 *
 * @throws OptionError with the path of the first fault.
 */
export function checkSettings(settings: unknown): void {
  requireSchema(SETTINGS_ROOT, settings, SETTINGS_SCHEMA);
}

/**
 * Check a value by a schema. What is undefined or null was not given, and is no fault.
 *
 * @param path of the value, for the error.
 * @throws OptionError with the path of the first fault.
 */
export function requireSchema(path: string, value: unknown, schema: Schema): void {
  if (value === undefined || value === null) return;
  if (!isGood(value, schema)) {
    throw new OptionError(`${path} is ${show(value)}`, `it must be ${describe(schema)}`);
  }
  const { properties, items, uniqueItems } = schema;
  if (properties !== undefined) {
    for (const [name, part] of Object.entries(value)) {
      if (!Object.hasOwn(properties, name)) throw unknownSetting(path, name, properties);
      requireSchema(`${path}.${name}`, part, properties[name]!);
    }
  }
  if (items === undefined) return;
  const list = value as unknown[];
  // `forEach` leaves out the holes of a sparse list.
  for (const [index, item] of list.entries()) {
    if (!isGood(item, items)) {
      throw new OptionError(`${path}.${index} is ${show(item)}`, `it must be ${describe(items)}`);
    }
  }
  if (uniqueItems === true && new Set(list).size < list.length) {
    throw new OptionError(`${path} names something twice`, "name each once");
  }
}

function isGood(value: unknown, schema: Schema): boolean {
  if (schema.enum !== undefined) return schema.enum.includes(value);
  const { minimum = -Infinity, exclusiveMinimum = -Infinity, maximum = Infinity } = schema;
  switch (schema.type) {
    case "object":
      return Object.prototype.toString.call(value) === "[object Object]";
    case "array":
      return Array.isArray(value);
    case "integer":
    case "number": {
      const isNumber = schema.type === "integer" ? Number.isInteger(value) : Number.isFinite(value);
      const number = value as number;
      return isNumber && number >= minimum && number > exclusiveMinimum && number <= maximum;
    }
    default:
      return typeof value === schema.type;
  }
}

/** Say what a value must be. */
function describe(schema: Schema): string {
  const { enum: values, minimum, exclusiveMinimum, maximum } = schema;
  if (values !== undefined) {
    const listed = values.map((each) => JSON.stringify(each)).join(", ");
    if (values.length === 0) return "left out: nothing fits";
    return values.length === 1 ? listed : `one of: ${listed}`;
  }
  const names: Record<string, string> = {
    ...{ object: "an object", array: "a list", string: "a text", boolean: "true or false" },
    ...{ integer: "a whole number", number: "a number" },
  };
  const from = minimum ?? (exclusiveMinimum === undefined ? undefined : exclusiveMinimum + 1);
  const least = from === undefined ? "" : ` from ${from}`;
  return names[schema.type!]! + least + (maximum === undefined ? "" : ` to ${maximum}`);
}

function unknownSetting(path: string, name: string, known: object): OptionError {
  const names = Object.keys(known);
  const meant = nearestName(name, names);
  const list = `settings there: ${names.join(", ")}`;
  return new OptionError(
    `${path} has no setting ${show(name)}`,
    meant === undefined ? list : `did you mean ${meant}? ${list}`,
  );
}
