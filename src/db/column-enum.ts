/** An enum of the API and the texts by which columns store its values. */
export type ColumnEnum<Value extends number> = {
  /** Undefined for a text that names no value. */
  toValue(column: string): Value | undefined;
  /** Undefined for UNSPECIFIED, and for a value that this version does not know. */
  toColumn(value: number): string | undefined;
};

/** Columns store the name of a value without the enum's prefix, which is how generated code names it. */
export function columnEnum<Value extends number>(values: Readonly<Record<string, Value>>): ColumnEnum<Value> {
  const stored = Object.entries(values).filter(([, value]) => value !== 0);
  const byColumn = new Map(stored);
  const byValue = new Map<number, string>(stored.map(([column, value]) => [value, column]));
  return { toValue: (column) => byColumn.get(column), toColumn: (value) => byValue.get(value) };
}
