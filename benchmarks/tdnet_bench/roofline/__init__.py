"""How far each graph is from what the machine can do: costs counted, ceilings and times measured."""
