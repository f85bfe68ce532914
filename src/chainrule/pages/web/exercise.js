export function exercise() {}
