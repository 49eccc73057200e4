;; Makes ASCII letters large; drops messages that begin with `#`, and refuses empty ones.
(module
  (import "gpkafka" "output" (func $output (param i32 i32)))
  (import "gpkafka" "reason" (func $reason (param i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "the message is empty")

  ;; Room for a message. One at a time is alive, so all of them lie in the same place; the memory grows with the largest.
  (func (export "gpkafka_alloc") (param $length i32) (result i32)
    (local $missing i32)
    (local.set $missing
      (i32.sub (i32.add (local.get $length) (i32.const 66560)) (i32.shl (memory.size) (i32.const 16))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.eq (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16)))
                    (i32.const -1))
          (then (unreachable)))))
    (i32.const 1024))

  ;; TRANSFORM: upper. 0 accepts, 1 rejects, 2 stops the job.
  (func (export "upper") (param $at i32) (param $length i32) (result i32)
    (local $next i32) (local $end i32) (local $byte i32)
    (if (i32.eqz (local.get $length))
      (then
        (call $reason (i32.const 0) (i32.const 20))
        (return (i32.const 1))))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 35))
      (then (return (i32.const 1))))
    (local.set $next (local.get $at))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (loop $bytes
      (local.set $byte (i32.load8_u (local.get $next)))
      (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
        (then (i32.store8 (local.get $next) (i32.sub (local.get $byte) (i32.const 32)))))
      (local.set $next (i32.add (local.get $next) (i32.const 1)))
      (br_if $bytes (i32.lt_u (local.get $next) (local.get $end))))
    (call $output (local.get $at) (local.get $length))
    (i32.const 0)))
